import Foundation

/// The files of this repository, found from this file's own path.
enum Repository {
    struct File {
        var path: String
        var target: String
        var text: String
    }

    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static func files(_ folder: String) -> [String] {
        let base = root.appendingPathComponent(folder)
        guard let walk = FileManager.default.enumerator(atPath: base.path) else { return [] }
        return walk.compactMap { $0 as? String }.filter { !$0.contains("__pycache__") && !$0.hasPrefix(".") }.map { folder + "/" + $0 }
            .sorted()
    }

    static func text(_ path: String) -> String? {
        try? String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    static func swiftFiles(_ folder: String) -> [File] {
        files(folder).filter { $0.hasSuffix(".swift") }.compactMap { path in
            text(path).map { File(path: path, target: String(path.split(separator: "/")[1]), text: $0) }
        }
    }

    /// Modules named by the import lines of a file.
    static func imports(of file: File) -> Set<String> {
        var found: Set<String> = []
        for line in file.text.split(separator: "\n") {
            var words = line.split(separator: " ")
            while let first = words.first,
                ["public", "internal", "package", "private", "fileprivate"].contains(first) || first.hasPrefix("@")
            {
                words.removeFirst()
            }
            guard words.first == "import", words.count >= 2 else { continue }
            let kinds: Set<Substring> = ["struct", "class", "enum", "func", "protocol", "var", "let", "typealias"]
            let name = kinds.contains(words[1]) && words.count > 2 ? words[2] : words[1]
            found.insert(String(name.prefix { $0 != "." }))
        }
        return found
    }

    /// The `layer(...)` and `requestPath(...)` lines and the executable of Package.swift: target name to what it uses.
    static func dependencies(inManifest manifest: String) -> [String: [String]] {
        var result: [String: [String]] = [:]
        for opening in ["layer(", "requestPath(", ".executableTarget("] {
            for piece in manifest.components(separatedBy: opening).dropFirst() {
                guard let quoted = piece.split(separator: "\"", maxSplits: 2, omittingEmptySubsequences: false).dropFirst().first,
                    !quoted.isEmpty, quoted.allSatisfy(\.isLetter), let list = piece.range(of: "[")
                else { continue }
                let name = String(quoted)
                // The list belongs to this call only when the call has not ended before it.
                let before = piece[..<list.lowerBound]
                guard before.contains("uses:") || before.contains("dependencies:"), !before.contains(")") else {
                    if !before.contains("_ name") { result[name] = [] }
                    continue
                }
                let names = piece[list.upperBound...].prefix { $0 != "]" }
                result[name] = names.split(separator: ",").map { $0.trimmingCharacters(in: CharacterSet(charactersIn: " \n\"")) }.filter {
                    !$0.isEmpty
                }
            }
        }
        return result
    }
}
