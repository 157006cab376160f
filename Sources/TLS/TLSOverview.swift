// TLS: sessions over OpenSSL, certificates and keys, who a certificate speaks for. It knows no loop, no socket and no configuration.
//
// Folders:
//   Certificates   keys, certificates, requests, SPIFFE identities; what an SVID must be (semantics 4.1)
//   Sessions       `TLSContext`, what all connections of one kind share on one thread; `TLSSession`, one connection's; `LibraryContext`,
//                  a thread's own part of OpenSSL
//
// Every object of OpenSSL has one owner here, a class or a noncopyable value, that frees it. This is the only target that uses libssl;
// `JOSE` uses libcrypto as well.
//
// Next file: `Certificates/Certificate.swift`.
