// CertificateExchange: how a workload gets its certificate from an authority that is served (docs/formats/ca-protocol.md), both ends of it.
//
// The server answers over TLS with a certificate that its authority issued to it. It takes requests (PKCS #10) of whoever shows a token or
// the certificate that is to be renewed, and Istio's CreateCertificate. Reading and writing the authority's directory blocks: one thread
// does it (`SigningQueue`), under the directory's lock for as long as what waits takes; `skein ca` works on the directory in between.
//
// The client blocks its thread. It shows a token only to a server under the root that the token pins. Keys never leave their host.
//
// Time comes from the system's clock; when to renew is arithmetic (`RenewalSchedule`). Semantics 4.1.
//
// Next file: `ExchangeProtocol.swift`.
