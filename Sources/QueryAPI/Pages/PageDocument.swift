/// Where a document of the page stands: what its relative links begin with.
///
/// Relative, because a reverse proxy may put the page below any prefix and take the prefix off.
struct PagePlace: Sendable {
    /// To where the page's files and interfaces are.
    let root: String
    /// To what a trace's id is added.
    let traces: String

    static let top = PagePlace(root: "./", traces: "./zipkin/traces/")
    static let zipkin = PagePlace(root: "./", traces: "./traces/")
    static let trace = PagePlace(root: "../", traces: "../traces/")
}

/// The document that every address of the page answers: `web/shell.html`, with what is read without JavaScript in it.
struct PageDocument: Sendable {
    private enum Piece: Sendable {
        case text([UInt8])
        case root, title, content, version
    }

    private let pieces: [Piece]
    private let version: String

    init(_ assets: PageAssets, version: String) {
        self.version = version
        let shell = String(decoding: assets.files["shell.html"]?.bytes ?? [], as: UTF8.self)
        var pieces: [Piece] = []
        for (index, part) in shell.split(separator: "{{", omittingEmptySubsequences: false).enumerated() {
            guard index > 0, let end = part.firstRange(of: "}}") else {
                pieces.append(.text(Array(part.utf8)))
                continue
            }
            switch part[..<end.lowerBound] {
            case "root": pieces.append(.root)
            case "title": pieces.append(.title)
            case "content": pieces.append(.content)
            case "version": pieces.append(.version)
            case let name: preconditionFailure("web/shell.html names \(name), which nothing fills")
            }
            pieces.append(.text(Array(part[end.upperBound...].utf8)))
        }
        self.pieces = pieces
    }

    /// `content` is HTML; the title is text.
    func html(_ title: String, at place: PagePlace, _ content: [UInt8]) -> [UInt8] {
        var page: [UInt8] = []
        for piece in pieces {
            switch piece {
            case .text(let bytes): page += bytes
            case .root: page.append(text: place.root)
            case .title: page.append(escaped: title)
            case .version: page.append(escaped: version)
            case .content: page += content
            }
        }
        return page
    }
}
