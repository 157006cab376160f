internal import MeshConfig
internal import Primitives

/// Header operations of rules and destinations.
struct HeaderEditCompiler {
    typealias Operations = HeaderOperations.Operations

    let draft: SnapshotBuilder

    /// What the operations of one message come to, before it is compiled.
    private struct Plan {
        var removals: [String] = []
        var replacements: [String] = []
        var additions: [(name: String, value: String)] = []

        /// What was added before goes with the rest.
        mutating func remove(_ name: String) {
            additions.removeAll { $0.name == name }
            if !removals.contains(name) { removals.append(name) }
        }

        mutating func set(_ name: String, _ value: String) {
            additions.removeAll { $0.name == name }
            if !replacements.contains(name) { replacements.append(name) }
            additions.append((name, value))
        }
    }

    /// The edits of a destination and its route as one, as istiod and Envoy together make them. A rule's only destination shares the rule's
    /// list: what is removed or replaced is so first, the rule's before the destination's, and then follows what is added. One of several
    /// has a list of its own, which is through before the rule's begins, so that the rule has the last word.
    func compileEdits(
        _ destination: Operations?, _ route: Operations?, _ isSingle: Bool, of rule: VirtualService, at position: SourcePosition
    ) -> HeaderEdits {
        var plan = Plan()
        let lists = isSingle ? [[route, destination].compactMap(\.self)] : [[destination].compactMap(\.self), [route].compactMap(\.self)]
        for list in lists {
            for operations in list {
                for name in operations.remove where isEditable(name, rule, position) { plan.remove(name.lowercased()) }
            }
            for operations in list {
                for (name, value) in operations.set where isEditable(name, rule, position) && isSendable(value, name, rule, position) {
                    plan.set(name.lowercased(), value)
                }
            }
            for operations in list {
                for (name, value) in operations.add where isEditable(name, rule, position) && isSendable(value, name, rule, position) {
                    plan.additions.append((name.lowercased(), value))
                }
            }
        }
        var edits = HeaderEdits()
        edits.removals = addNames(plan.removals)
        edits.replacements = addNames(plan.replacements)
        edits.additions = draft.fieldTexts.add(contentsOf: plan.additions.compactMap { compileField($0.name, $0.value, rule, position) })
        return edits
    }

    /// Nil, which is reported, when the value has an operator that is not known.
    private func compileField(_ name: String, _ value: String, _ rule: VirtualService, _ position: SourcePosition) -> FieldText? {
        guard let (program, plain) = HeaderValueCompiler(draft: draft).compileValue(value) else {
            let isEnvoys = HeaderValueCompiler.hasEnvoysOperatorsOnly(value)
            let what = isEnvoys ? "Envoy's and not yet in effect: the field is left out" : "not known"
            draft.report(
                isEnvoys ? .warning : .error, "SKN0316", position, rule.id, "headers",
                "the value of \"\(name)\", \"\(value)\", has an operator that is \(what); known are \(HeaderValueCompiler.operatorNames). "
                    + "Write %% for a percent sign.")
            return nil
        }
        return FieldText(name: draft.text.add(text: name), value: draft.text.add(text: plain), program: program)
    }

    private func addNames(_ names: [String]) -> TableRange {
        draft.fieldTexts.add(contentsOf: names.map { FieldText(name: draft.text.add(text: $0)) })
    }

    private static let framingNames: Set<String> = [
        "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "proxy-connection", "http2-settings",
    ]

    /// Fields that frame a message are the proxy's own; `Host` is changed by `rewrite.authority` or, as in Istio, by setting it
    /// (`authority(in:)`).
    private func isEditable(_ name: String, _ rule: VirtualService, _ position: SourcePosition) -> Bool {
        let lower = name.lowercased()
        if lower == "host" || lower == ":authority" { return false }
        let isToken = !lower.isEmpty && lower.utf8.allSatisfy { byte in
            byte > 32 && byte < 127 && !"()<>@,;:\\\"/[]?={}".utf8.contains(byte)
        }
        guard isToken else {
            draft.report(
                .error, "SKN0309", position, rule.id, "headers",
                "\"\(name)\" is no header name: letters, digits and !#$%&'*+-.^_`|~ are (RFC 9110 5.1)")
            return false
        }
        guard !Self.framingNames.contains(lower) else {
            draft.report(
                .warning, "SKN0310", position, rule.id, "headers",
                "\"\(name)\" frames the message and is written by the proxy: the operation is left out")
            return false
        }
        return true
    }

    private func isSendable(_ value: String, _ name: String, _ rule: VirtualService, _ position: SourcePosition) -> Bool {
        guard value.utf8.allSatisfy({ $0 >= 32 && $0 != 127 || $0 == 9 }) else {
            draft.report(
                .error, "SKN0311", position, rule.id, "headers",
                "the value of \"\(name)\" has a control character, which no header may carry (RFC 9110 5.5)")
            return false
        }
        return true
    }

    /// The authority that header operations set, which Istio allows in place of `rewrite.authority`.
    static func authority(in lists: [HeaderOperations.Operations?]) -> String? {
        for operations in lists {
            for (name, value) in operations?.set ?? [] where ["host", ":authority"].contains(name.lowercased()) { return value }
        }
        return nil
    }
}
