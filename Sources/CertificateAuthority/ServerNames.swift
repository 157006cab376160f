internal import Glibc

/// Names and addresses that a server's certificate is for.
struct ServerNames {
    static let countMax = 64

    private(set) var names: [String] = []
    private(set) var addresses: [String] = []

    /// A name: labels of a-z 0-9 - _, 253 bytes at most, the first may be `*` (RFC 6125 6.4.3). Anything that is an address is one.
    init(_ texts: [String]) throws(AuthorityError) {
        guard (1...Self.countMax).contains(texts.count) else {
            throw AuthorityError(.input, "\(texts.count) names of a server: 1 to \(Self.countMax) are taken")
        }
        for text in texts {
            let name = text.lowercased()
            if Self.isAddress(name) {
                addresses.append(name)
            } else if Self.isName(name) {
                names.append(name)
            } else {
                throw AuthorityError(.input, "\"\(text.prefix(253))\" is neither a host name nor an address")
            }
        }
    }

    var all: [String] { names + addresses }

    private static func isAddress(_ text: String) -> Bool {
        var bytes = in6_addr()
        return unsafe inet_pton(AF_INET, text, &bytes) == 1 || inet_pton(AF_INET6, text, &bytes) == 1
    }

    private static func isName(_ text: String) -> Bool {
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        let rest = labels.first == "*" && labels.count > 2 ? labels.dropFirst() : labels[...]
        return text.utf8.count <= 253
            && rest.allSatisfy { label in
                (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-" && label.utf8.allSatisfy(isNameByte)
            }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
    }
}
