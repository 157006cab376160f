"""The Debian package: what is in it, what installing it does, how its service runs as its user, and that purging it leaves nothing. Runs as root."""

import contextlib
import grp
import json
import os
import pathlib
import pwd
import re
import shlex
import signal
import stat
import subprocess

import pytest

from conftest import ROOT, SKEIN, free_port, http_get, wait_for
from test_clients import span

UNIT = pathlib.Path("/lib/systemd/system/skein.service")
AUTHORITY_UNIT = pathlib.Path("/lib/systemd/system/skein-ca.service")
# Containers' dpkg often leaves documentation out; this package is looked at whole.
INSTALL = ["dpkg", "--path-include=/usr/share/man/*", "--path-include=/usr/share/doc/*", "-i"]


def run(*command, check=True, **settings):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, **settings)
    assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result


def run_bytes(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, timeout=60, check=True).stdout


def commands():
    """Every command line with a page of its own, as skein-capture-enable."""
    def names(command, path):
        yield "-".join(path)
        for child in command.get("subcommands", []):
            if child["commandName"] != "help":
                yield from names(child, path + [child["commandName"]])

    return sorted(names(json.loads(run(SKEIN, "--experimental-dump-help").stdout)["command"], ["skein"]))


def pack(directory):
    """Packs the program under test; a debug one is linked with libraries that no package holds."""
    foreign = {"FOREIGN_LIBRARIES": "1"} if "libswiftCore" in run("ldd", SKEIN).stdout else {}
    result = run(ROOT / "Tools/package", env={**os.environ, **foreign, "SKEIN": SKEIN, "OUTPUT": str(directory), "COMPRESSION": "none"})
    return pathlib.Path(result.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return pack(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def tree(package):
    """What is in the package, unpacked beside it."""
    root = package.parent / "tree"
    run("dpkg-deb", "-R", package, root)
    return root


def purge():
    run("dpkg", "--purge", "skein", check=False)


@pytest.fixture(scope="module")
def installed(package):
    assert run("dpkg-query", "-W", "-f", "${Status}", "skein", check=False).stdout in ("", "unknown ok not-installed"), "a package of skein is on this machine"
    assert os.geteuid() == 0, "installing a package needs root"
    try:
        run(*INSTALL, package)
        # Where systemd runs, installing starts the service; here it is started by hand.
        if os.path.isdir("/run/systemd/system"):
            run("systemctl", "stop", "skein.service")
        yield package
    finally:
        purge()


def unit(text=None):
    """The assignments of a unit file; of those that come twice, all."""
    values = {}
    for line in (UNIT.read_text() if text is None else text).splitlines():
        if "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            values.setdefault(name, []).append(value)
    return values


@contextlib.contextmanager
def service(options, path=UNIT):
    """A unit's ExecStart as systemd would start it: user, umask, working directory, variables from its EnvironmentFile."""
    values = unit(path.read_text())
    user = pwd.getpwnam(values["User"][0])
    environment = {"PATH": "/usr/bin:/bin", "SKEIN_OPTIONS": options, "SKEIN_CA_OPTIONS": options}
    command = []
    for word in shlex.split(values["ExecStart"][0]):
        command += environment[word[1:]].split() if re.fullmatch(r"\$[A-Z_]+", word) else [word]
    process = subprocess.Popen(
        command, env=environment, user=user.pw_uid, group=user.pw_gid, extra_groups=[], umask=int(values["UMask"][0], 8),
        cwd=values["WorkingDirectory"][0], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


# --- What is in it ------------------------------------------------------------------------------------------------------


def test_it_says_what_it_needs(package, tree):
    control = (tree / "DEBIAN/control").read_text()
    version = json.loads(run(SKEIN, "version", "-o", "json").stdout)["version"]
    assert f"\nVersion: {version}\n" in control and package.name == f"skein_{version}_{run('dpkg', '--print-architecture').stdout.strip()}.deb"
    depends = re.search(r"^Depends: (.*)$", control, re.M)[1]
    # Each library that the program is linked with, by the package that it belongs to here.
    for library in ("libc6", "libsqlite3-0", "libnghttp2-14", "libzstd1", "libsnappy1v5", "libstdc++6", "zlib1g", "libre2-"):
        assert library in depends, depends
    assert "adduser" in depends
    conffiles = (tree / "DEBIAN/conffiles").read_text().splitlines()
    assert conffiles == ["/etc/default/skein", "/etc/default/skein-ca", "/etc/logrotate.d/skein", "/etc/skein/mesh/README"]
    wrong = [path for path in tree.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert wrong == []
    contents = run("dpkg-deb", "-c", package).stdout.splitlines()
    assert contents and all(line.split()[1] == "root/root" for line in contents)


def test_the_same_source_makes_the_same_package(package, tmp_path):
    assert pack(tmp_path).read_bytes() == package.read_bytes()


def test_libraries_of_no_package_are_refused(tmp_path):
    """A package that works only on the machine it was made on is made only where that is asked for."""
    library = tmp_path / "libodd.so"
    program = tmp_path / "skein"
    run("clang", "-shared", "-fPIC", "-o", library, "-x", "c", "-", input="int odd(void) { return 1; }")
    run("clang", "-o", program, "-x", "c", "-", "-x", "none", library, input=(
        "#include <stdio.h>\nint odd(void); int main(void) { if (odd()) puts(\"{\\\"version\\\": \\\"1\\\", \\\"command\\\": {\\\"commandName\\\": \\\"skein\\\"}}\"); return 0; }"))
    refused = run(ROOT / "Tools/package", check=False, env={**os.environ, "SKEIN": str(program), "OUTPUT": str(tmp_path / "out")})
    assert refused.returncode == 69 and str(library) in refused.stderr and "Tools/build" in refused.stderr, refused.stderr
    assert not list((tmp_path / "out").glob("*.deb"))


def test_every_command_has_a_manual_page(tree):
    pages = sorted((tree / "usr/share/man/man1").iterdir())
    assert [path.name for path in pages] == sorted(f"{name}.1.gz" for name in commands())
    for path in pages:
        plain = path.parent.parent / path.stem
        plain.write_bytes(run_bytes("gzip", "-dc", path))
        lint = run("mandoc", "-Tlint", "-W", "warning", plain, check=False)
        assert lint.returncode == 0 and lint.stdout == "", lint.stdout
        text = run("mandoc", "-Tutf8", "-Owidth=200", plain).stdout
        text = re.sub(".\b", "", text)
        name = path.name.removesuffix(".1.gz")
        assert re.search(rf"^ *{name} - \S", text, re.M), text[:300]
        told = run(SKEIN, *name.split("-", 1)[1:], "--help").stdout if name.count("-") < 2 and name != "skein" else ""
        for option in re.findall(r"^  (?:-\w, )?(--[a-z-]+)", told, re.M):
            assert option in text, f"{name}: {option}"
    overview = re.sub(".\b", "", run("mandoc", "-Tutf8", "-Owidth=200", tree / "usr/share/man/skein.1").stdout)
    for name in commands():
        inner = name.count("-") > 1 and name.startswith(("skein-capture-", "skein-ca-", "skein-mtls-", "skein-authz-", "skein-jwt-"))
        assert name == "skein" or inner or f"{name}(1)" in overview


def test_completions_are_where_shells_look(tree):
    bash = tree / "usr/share/bash-completion/completions/skein"
    assert run("bash", "-c", f"source {bash}; complete -p skein").stdout.startswith("complete -o filenames -F _skein skein")
    assert (tree / "usr/share/zsh/vendor-completions/_skein").read_text().startswith("#compdef skein\n")
    assert "complete -c 'skein'" in (tree / "usr/share/fish/vendor_completions.d/skein.fish").read_text()


def test_documents_say_what_is_installed(tree):
    operations = (tree / "usr/share/doc/skein/docs/operations.md").read_text()
    rule = re.sub(r"^#.*\n", "", (tree / "etc/logrotate.d/skein").read_text(), flags=re.M)
    assert f"```\n{rule}```\n" in operations
    for document in re.findall(r"file://(\S+)", (tree / f".{UNIT}").read_text()):
        assert (tree / f".{document}").exists(), document
    # Every path of the table of files that the package brings, not those that it makes later.
    table = operations.split("### Files and ports")[1].split("| port |")[0]
    brought = [path for path in re.findall(r"`(/[\w./-]+)`", table) if not path.startswith("/var/")]
    assert len(brought) > 6 and [path for path in brought if not (tree / f".{path}").exists()] == []


def test_the_logrotate_rule_rotates_as_the_user(installed, tmp_path):
    log = pathlib.Path("/var/log/skein/test.log")
    user = pwd.getpwnam("skein")
    log.write_text("a line\n")
    os.chown(log, user.pw_uid, user.pw_gid)
    run("logrotate", "--force", "--state", tmp_path / "state", "/etc/logrotate.d/skein")
    assert not log.exists()
    rotated = log.with_name("test.log.1")
    assert rotated.read_text() == "a line\n" and rotated.stat().st_uid == user.pw_uid


# --- The service --------------------------------------------------------------------------------------------------------


def test_systemd_reads_the_unit_without_complaint(installed):
    result = run("systemd-analyze", "verify", "--man=no", UNIT)
    assert result.stdout + result.stderr == ""
    assert os.path.realpath("/etc/systemd/system/multi-user.target.wants/skein.service") == os.path.realpath(UNIT)
    values = unit()
    assert values["SystemCallFilter"] == ["@system-service", "~@privileged"] and values["CapabilityBoundingSet"] == [""]
    # The drain has to fit into what systemd waits before it kills.
    drain = re.search(r"--drain-seconds.*?default: (\d+)", run(SKEIN, "run", "--help").stdout, re.S)[1]
    assert int(values["TimeoutStopSec"][0]) >= int(drain) + 10
    exposure = run("systemd-analyze", "security", "--offline=yes", "--threshold=30", UNIT, check=False)
    assert exposure.returncode == 0, exposure.stdout[-2000:]


def test_the_user_owns_nothing_but_state_and_logs(installed):
    user = pwd.getpwnam("skein")
    assert user.pw_uid < 1000 and user.pw_shell.endswith("nologin") and grp.getgrgid(user.pw_gid).gr_name == "skein"
    for path in ("/var/lib/skein", "/var/log/skein"):
        status = os.stat(path)
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (user.pw_uid, user.pw_gid, 0o750)
    for path in ("/usr/bin/skein", "/etc/skein", "/etc/skein/mesh", "/etc/default/skein"):
        assert os.stat(path).st_uid == 0


def test_the_service_runs_as_its_user_without_any_configuration(installed):
    ports = {name: free_port() for name in ("outbound", "inbound", "admin", "readiness", "metrics", "zipkin", "otlp")}
    with service(" ".join(f"--{name}-port {port}" for name, port in ports.items())) as process:
        def ready():
            assert process.poll() is None, process.stderr.read().decode()
            return http_get(ports["readiness"], "/healthz/ready")[0] == 200

        wait_for(ready, what="readiness")
        sent = json.dumps([span(id="463ac35c9f6413ad")]).encode()
        assert http_get(ports["zipkin"], "/api/v2/spans", {"Content-Type": "application/json"}, method="POST", body=sent)[0] == 202
        status, _, body = http_get(ports["zipkin"], "/api/v2/trace/463ac35c9f6413ad48485a3953bb6124")
        assert status == 200 and [one["id"] for one in json.loads(body)] == ["463ac35c9f6413ad"]
        user = pwd.getpwnam("skein")
        files = list(pathlib.Path("/var/lib/skein").iterdir())
        assert "skein.db" in [path.name for path in files]
        for path in files:
            status = path.stat()
            assert status.st_uid == user.pw_uid and status.st_mode & 0o007 == 0, path
        assert {line.split()[1] for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines() if line.startswith("Uid:")} == {str(user.pw_uid)}
        # As ExecReload and KillSignal do.
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: b"skein_config_generation 2\n" in http_get(ports["metrics"], "/metrics")[2], what="the reload")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
        assert process.returncode == 0 and b"SKN0010" in log, log


def test_the_authority_runs_as_a_user_of_its_own(installed, tmp_path):
    result = run("systemd-analyze", "verify", "--man=no", AUTHORITY_UNIT)
    assert result.stdout + result.stderr == ""
    exposure = run("systemd-analyze", "security", "--offline=yes", "--threshold=30", AUTHORITY_UNIT, check=False)
    assert exposure.returncode == 0, exposure.stdout[-2000:]
    # Nobody has made an authority yet: it is not enabled.
    assert not os.path.lexists("/etc/systemd/system/multi-user.target.wants/skein-ca.service")
    home, user = pathlib.Path("/var/lib/skein-ca"), pwd.getpwnam("skein-ca")
    assert user.pw_uid != pwd.getpwnam("skein").pw_uid and user.pw_shell.endswith("nologin")
    assert (home.stat().st_uid, stat.S_IMODE(home.stat().st_mode)) == (user.pw_uid, 0o700)
    # As the unit says.
    how = re.search(r"runuser -u skein-ca -- (skein .*)", AUTHORITY_UNIT.read_text())[1]
    run("runuser", "-u", "skein-ca", "--", *how.split())
    assert pathlib.Path(unit(AUTHORITY_UNIT.read_text())["ConditionPathExists"][0]).exists()
    for path in home.iterdir():
        assert (path.stat().st_uid, path.stat().st_mode & 0o077) == (user.pw_uid, 0), path
    port = free_port()
    with service(f"--listen 127.0.0.1:{port}", AUTHORITY_UNIT) as process:
        def answers():
            assert process.poll() is None, process.stderr.read().decode()
            return run("curl", "-sS", "--cacert", tmp_path / "root.pem", f"https://localhost:{port}/v1/bundle", check=False).stdout

        (tmp_path / "root.pem").write_bytes((home / "root-cert.pem").read_bytes())
        wait_for(lambda: "BEGIN CERTIFICATE" in answers(), what="the authority")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0


# --- Afterwards ---------------------------------------------------------------------------------------------------------


def test_removing_keeps_the_data_and_purging_leaves_nothing(installed):
    before = run("dpkg", "-L", "skein").stdout.split()
    assert "/usr/bin/skein" in before and str(UNIT) in before
    pathlib.Path("/var/lib/skein/kept").write_text("data")
    pathlib.Path("/etc/skein/mesh/mine.yaml").write_text("# mine\n")
    run("dpkg", "-r", "skein")
    assert not os.path.exists("/usr/bin/skein") and os.path.exists("/var/lib/skein/kept") and os.path.exists("/etc/default/skein")
    assert os.path.exists("/etc/skein/mesh/mine.yaml") and pwd.getpwnam("skein")
    # Installing again finds all of it.
    run(*INSTALL, installed)
    assert os.path.exists("/var/lib/skein/kept")
    run("dpkg", "--purge", "skein")
    left = [path for path in before if os.path.lexists(path) and "skein" in path]
    assert left == []
    for path in ("/var/lib/skein", "/var/lib/skein-ca", "/var/log/skein", "/etc/skein"):
        assert not os.path.exists(path)
    for lookup in (lambda: pwd.getpwnam("skein"), lambda: grp.getgrnam("skein"), lambda: pwd.getpwnam("skein-ca")):
        with pytest.raises(KeyError):
            lookup()
    units = [path for folder in ("/etc/systemd/system", "/var/lib/systemd/deb-systemd-helper-enabled", "/var/lib/systemd/deb-systemd-helper-masked")
             for path in pathlib.Path(folder).rglob("*skein*")]
    assert units == []
