"""Certificates of a mesh, made by openssl: what tests give to both ends, and nothing that Skein made itself."""

import pathlib
import subprocess


def run(*arguments, text=""):
    done = subprocess.run(["openssl", *map(str, arguments)], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class MeshCA:
    """A root of ECDSA P-256 and what it signs, in a directory."""

    def __init__(self, directory, name="root", domain="cluster.local"):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.domain = domain
        self.key, self.certificate = self.directory / "ca.key", self.directory / "ca.crt"
        run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key)
        run(
            "req", "-x509", "-new", "-key", self.key, "-out", self.certificate, "-days", 30, "-subj", f"/O={domain}/CN={name}",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )

    def issue(
        self, out, names, usage="digitalSignature", days=1, authority=False, extended="serverAuth,clientAuth", key="prime256v1",
        subject="/",
    ):
        """A directory with tls.crt, tls.key and ca.crt; `names` such as `URI:spiffe://…` or `DNS:web.local`."""
        out = pathlib.Path(out)
        out.mkdir(parents=True, exist_ok=True)
        run("ecparam", "-name", key, "-genkey", "-noout", "-out", out / "tls.key")
        (out / "tls.key").chmod(0o600)
        run("req", "-new", "-key", out / "tls.key", "-out", out / "request.pem", "-utf8", "-subj", subject)
        extensions = [f"basicConstraints=critical,CA:{'TRUE' if authority else 'FALSE'}", f"keyUsage=critical,{usage}", "subjectKeyIdentifier=hash"]
        extensions += ["authorityKeyIdentifier=keyid"]
        if names:
            extensions.append("subjectAltName=critical," + ",".join(names))
        if extended:
            extensions.append(f"extendedKeyUsage={extended}")
        (out / "extensions").write_text("\n".join(extensions) + "\n")
        run(
            "x509", "-req", "-in", out / "request.pem", "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days", days,
            "-extfile", out / "extensions", "-out", out / "tls.crt",
        )
        (out / "ca.crt").write_bytes(self.certificate.read_bytes())
        return out

    def workload(self, out, account, namespace="default", others=(), **options):
        return self.issue(out, [f"URI:spiffe://{self.domain}/ns/{namespace}/sa/{account}", *others], **options)

    def revoke(self, out, *revoked):
        """Writes the list of all that it has taken back, those in the directories `revoked` among them."""
        database = self.directory / "database"
        database.mkdir(exist_ok=True)
        (database / "index.txt").touch()
        (database / "crlnumber").write_text("1000\n")
        configuration = database / "ca.cnf"
        configuration.write_text(
            f"[ca]\ndefault_ca=this\n[this]\ndatabase={database}/index.txt\ncrlnumber={database}/crlnumber\ndefault_md=sha256\n"
            "default_crl_days=1\n"
        )
        keys = ["-config", configuration, "-keyfile", self.key, "-cert", self.certificate]
        for one in revoked:
            run("ca", *keys, "-revoke", one / "tls.crt")
        run("ca", *keys, "-gencrl", "-out", out)
        return out
