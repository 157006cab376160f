internal import Primitives

/// Collects the keys of a set that can be used, and what is to be said of the others.
struct KeySetBuilder {
    private let allowsSymmetric: Bool
    private let limits: JOSELimits
    private var entries: [KeySet.Entry] = []
    private var names: [UInt8] = []
    private var secrets: [UInt8] = []
    private var summaries: [KeySet.Summary] = []
    private var problems: [String] = []
    private var unsaid = 0
    /// All keys that were in the set so far.
    private var seen = 0
    private var beyondMax = 0
    private var known: Set<[UInt8]> = []

    init(allowsSymmetric: Bool, limits: JOSELimits) {
        self.allowsSymmetric = allowsSymmetric
        self.limits = limits
    }

    /// Keys beyond `limits.keys` cost nothing: only their number is kept. Neither do those of a set of unusable ones cost more than their
    /// part of the text.
    mutating func add(_ document: borrowing JSONDocument, _ index: Int) {
        seen += 1
        guard entries.count < limits.keys else {
            beyondMax += 1
            return
        }
        do {
            let key = try JSONWebKey(document, index, allowsSymmetric: allowsSymmetric, limits: limits)
            let name = Self.shown(key.keyID)
            if key.isPrivate { say(.isPrivate, name) }
            if !key.keyID.isEmpty, !known.insert(key.keyID).inserted { say(.duplicateKeyID, name) }
            let firstName = names.count
            let firstSecret = secrets.count
            names += key.keyID
            secrets += key.secret
            let algorithms = key.algorithms
            summaries.append(
                KeySet.Summary(
                    keyID: name, kind: key.kind, algorithms: SigningAlgorithm.allCases.filter { algorithms.contains($0) }))
            unsafe entries.append(
                KeySet.Entry(
                    keyID: firstName..<names.count, algorithms: algorithms, publicKey: key.takePublicKey()?.take(),
                    secret: firstSecret..<secrets.count))
        } catch {
            say(error, document.member("kid", of: index).flatMap { document.string($0) }.flatMap { Self.shown($0.copied) })
        }
    }

    consuming func finish() throws(KeySetFault) -> KeySet {
        if beyondMax > 0 { problems.append("\(beyondMax) keys were left out: a set keeps \(limits.keys)") }
        if unsaid > 0 { problems.append("and \(unsaid) more problems of keys") }
        if entries.isEmpty { throw .noUsableKey(problems) }
        return KeySet(entries, names: names, secrets: secrets, summaries: summaries, problems: problems)
    }

    private mutating func say(_ problem: KeyProblem, _ name: String?) {
        // Two lines are for `finish`.
        guard problems.count + 2 < limits.problems else {
            unsaid += 1
            return
        }
        let whose = "key \(seen)" + (name.map { " (kid \"\($0)\")" } ?? "")
        problems.append(problem.isKept ? "\(whose): \(problem)" : "\(whose) was left out: \(problem)")
    }

    /// A name as a terminal and a log can take it: at most 64 characters, and only printable ASCII. Nil for none.
    private static func shown(_ keyID: [UInt8]) -> String? {
        if keyID.isEmpty { return nil }
        let part = String(decoding: keyID.prefix(256), as: UTF8.self)
        var text = ""
        for scalar in part.unicodeScalars.prefix(64) {
            text += (32...126).contains(scalar.value) ? String(scalar) : scalar.escaped(asASCII: true)
        }
        return text.unicodeScalars.count < part.unicodeScalars.count || keyID.count > 256 ? text + "…" : text
    }
}

extension KeySet {
    /// Reads a key set, or a single key in its place.
    ///
    /// Keys that cannot be used are left out, with a line in `problems`; of more than `JOSELimits.keys`, the first are kept. `oct` keys
    /// are secrets: only a set that nobody else can read may have them. Not on a worker's thread: it takes as long as OpenSSL needs for
    /// each key.
    public static func parse(
        _ json: [UInt8], allowsSymmetric: Bool = false, limits: JOSELimits = JOSELimits()
    ) throws(KeySetFault) -> KeySet {
        if json.count > limits.keySetBytes { throw .tooLong(bytesMax: limits.keySetBytes) }
        var document = JSONDocument()
        document.text.append(contentsOf: json)
        if let fault = JSONParser.parseObject(&document, limits.keySet) { throw .notJSON(fault) }
        var builder = KeySetBuilder(allowsSymmetric: allowsSymmetric, limits: limits)
        if let list = document.member("keys") {
            guard document.values[list].kind == .list else { throw .keysNotList }
            var index = list + 1
            while index < Int(document.values[list].next) {
                builder.add(document, index)
                index = Int(document.values[index].next)
            }
        } else {
            guard document.member("kty") != nil else { throw .noKeys }
            builder.add(document, 0)
        }
        return try builder.finish()
    }
}
