// JOSE: signed tokens (JWT, RFC 7519; JWS compact form, RFC 7515), sets of keys (JWK, RFC 7517) and signatures (JWA, RFC 7518, 8037, 9864).
//
// Pure: it reads no clock, opens no file and no socket. It knows no issuer and no configuration. Encrypted tokens (JWE) are refused.
//
// Folders:
//   Text     base64url, and a strict, bounded reader of JSON
//   Keys     algorithms; `KeySet`: public keys from JSON; `SigningKey`: a private key, for an issuer
//   Tokens   `TokenReader` reads a token; `SignatureVerifier` verifies it with a set; `TokenSigner` makes one
//
// Invariants: the key decides which algorithms are possible, never the token; what the header of a token says of keys (jwk, jku, x5u, x5c)
// is never used; everything from outside is bounded by `JOSELimits`.
//
// Threads: a `KeySet` is immutable and shared by all; a `TokenReader` and a `SignatureVerifier` belong to one thread each.
//
// Next file: `Tokens/TokenReader.swift`.
