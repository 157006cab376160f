// CertificateAuthority: the mesh's own authority, offline. A directory with a root, the intermediate that signs, the roots that workloads
// trust, and a log of what was issued; operations on it. Who asks for a certificate, and over what, is not known here.
//
// It makes no connection and has no thread: a caller has an `Authority` open for one operation, under the directory's lock. Time comes in.
// Every file is 0600 and is replaced whole; files that belong together are replaced together (`PrivateDirectory.replace`): a process
// killed between two writes leaves the old authority or the new one. What is issued is in the log, on disk, before anybody gets it.
//
// Layout and bytes: docs/formats/ca.md. Identities: semantics 2.7 and 4.1.
//
// Next file: `Authority.swift`.
