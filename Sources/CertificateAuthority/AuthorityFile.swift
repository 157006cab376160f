/// The files of an authority's directory. The first four are Istio's `cacerts`, and mean what they mean there.
enum AuthorityFile: String, CaseIterable {
    /// The key and certificate that sign.
    case key = "ca-key.pem"
    case certificate = "ca-cert.pem"
    /// What leaves bring along to be believed: the signing certificate, and roots signed by earlier roots.
    case chain = "cert-chain.pem"
    /// The roots that workloads trust, the one above the signing certificate first.
    case roots = "root-cert.pem"
    /// The first root's key; needed to rotate, and may be kept elsewhere until then.
    case rootKey = "root-key.pem"
    case trustDomain = "trust-domain"
    /// The signing certificate's list of revoked certificates, then those of `retiredLists`.
    case lists = "ca-crl.pem"
    /// Lists of earlier signing certificates.
    case retiredLists = "retired-crl.pem"
    case issued = "issued.log"
    /// What hosts without a certificate may ask with.
    case tokens = "tokens"

    var bytesMax: Int {
        switch self {
        case .key, .rootKey: 64 << 10
        case .certificate, .chain, .roots: 2 << 20
        case .trustDomain: 1 << 10
        case .lists, .retiredLists: 16 << 20
        case .issued: IssuedLog.bytesMax
        case .tokens: TokenTable.bytesMax
        }
    }
}
