/// What `skein top` shows at the moment, and what becomes of it when a key is pressed or the server answers. Pure: no clock, no terminal.
struct TopState {
    enum Mode: Equatable {
        case table, details, help
        /// The filter is being typed.
        case filter
    }

    enum Action: Equatable {
        case none, quit
        /// Ask the server now: the rows wanted are others.
        case refresh
    }

    private(set) var dimension: TopDimension
    private(set) var order: TopOrder
    private(set) var mode = Mode.table
    private(set) var filter = ""
    private(set) var isPaused = false
    private(set) var picture: TopPicture?
    /// When the picture was made, and until when nothing newer came; seconds on any clock that only grows.
    private(set) var pictureTime = 0.0
    /// Why the last question brought nothing; nil = it did.
    private(set) var problem: String?
    /// The row under the cursor keeps it when the order changes; nil = the first one, whichever it is.
    private var selected: String?
    /// First row drawn.
    private(set) var offset = 0

    /// Characters of a filter.
    static let filterMax = 64

    init(dimension: TopDimension, order: TopOrder) {
        self.dimension = dimension
        self.order = order
    }

    // MARK: Rows

    /// Rows that pass the filter, in order. Empty for families.
    var rows: [TopRow] {
        guard let picture else { return [] }
        return order.sorted(picture.rows.filter { passes($0.name) })
    }

    var families: [TopFamily] {
        guard let picture else { return [] }
        return order.sorted(picture.families.filter { passes($0.metric) })
    }

    /// Names of what is shown, by row.
    var names: [String] { dimension == .family ? families.map(\.metric) : rows.map(\.name) }

    private func passes(_ name: String) -> Bool { filter.isEmpty || name.lowercased().contains(filter.lowercased()) }

    /// The row under the cursor, from 0; 0 also when there is none.
    func cursor(in names: [String]) -> Int { selected.flatMap { names.firstIndex(of: $0) } ?? 0 }

    // MARK: Events

    /// The answer of a question that was asked when the dimension was `picture.dimension`: one of another dimension comes too late.
    mutating func take(_ new: TopPicture, time: Double) {
        guard new.dimension == dimension else { return }
        problem = nil
        guard !isPaused || picture == nil else { return }
        picture = new
        pictureTime = time
    }

    /// The last picture stays.
    mutating func take(problem text: String) { problem = text }

    /// `height`: rows of the table that the screen has room for.
    mutating func press(_ key: TopKey, height: Int) -> Action {
        if key == .interrupt { return .quit }
        switch mode {
        case .filter: return typeFilter(key)
        case .help, .details:
            if key == .character("q") { return .quit }
            if key == .escape || key == .enter || key == .character("?") { mode = .table }
            return .none
        case .table: return pressInTable(key, height)
        }
    }

    private mutating func typeFilter(_ key: TopKey) -> Action {
        switch key {
        case .character(let character) where filter.count < Self.filterMax: filter.append(character)
        case .backspace: if !filter.isEmpty { filter.removeLast() }
        case .enter: mode = .table
        case .escape:
            filter = ""
            mode = .table
        default: break
        }
        return .none
    }

    private mutating func pressInTable(_ key: TopKey, _ height: Int) -> Action {
        switch key {
        case .up, .character("k"): move(by: -1)
        case .down, .character("j"): move(by: 1)
        case .pageUp: move(by: -max(1, height))
        case .pageDown: move(by: max(1, height))
        case .home, .character("g"): selected = nil
        case .end, .character("G"): selected = names.last
        case .enter: if !names.isEmpty { pin() }
        case .character("/"): mode = .filter
        case .escape: filter = ""
        case .character("s"): order = order.next
        case .character("p"), .character(" "): isPaused.toggle()
        case .character("?"), .character("h"): mode = .help
        case .character("q"): return .quit
        case .character("b"), .tab:
            show(dimension.next)
            return .refresh
        default: break
        }
        return .none
    }

    private mutating func pin() {
        let names = names
        selected = names[cursor(in: names)]
        mode = .details
    }

    private mutating func move(by rows: Int) {
        let names = names
        guard !names.isEmpty else { return }
        selected = names[min(max(0, cursor(in: names) + rows), names.count - 1)]
    }

    private mutating func show(_ next: TopDimension) {
        dimension = next
        picture = nil
        selected = nil
        offset = 0
        isPaused = false
    }

    /// Scrolls so that the cursor is among `height` rows.
    mutating func scroll(height: Int) {
        let names = names
        let cursor = cursor(in: names)
        if cursor < offset { offset = cursor }
        if cursor >= offset + max(1, height) { offset = cursor - max(1, height) + 1 }
        offset = max(0, min(offset, max(0, names.count - max(1, height))))
    }
}
