/// What a configuration says, without where it says it: equal for two texts that mean the same.
enum ConfigurationFingerprint {
    static func of(_ configuration: MeshConfiguration) -> String {
        var text = ""
        write(configuration, &text)
        return text
    }

    /// Depth is that of the typed model, which does not nest.
    private static func write(_ value: Any, _ text: inout String) {
        switch value {
        // Where something stands, and the text that a resource was made of.
        case is SourcePosition, is ResourceDigest: return
        // Its field is a path in the text.
        case let match as StringMatch:
            write(match.condition, &text)
            return
        case let value as String:
            text += value.debugDescription
            return
        default: break
        }
        let mirror = Mirror(reflecting: value)
        if mirror.displayStyle == .dictionary || mirror.displayStyle == .set {
            var items: [String] = []
            for child in mirror.children {
                var item = ""
                write(child.value, &item)
                items.append(item)
            }
            text += "{\(items.sorted().joined(separator: ","))}"
            return
        }
        if mirror.children.isEmpty {
            text += "\(value)"
            return
        }
        text += "("
        if mirror.displayStyle == .enum { text += "\(mirror.children.first?.label ?? "")=" }
        for child in mirror.children {
            if mirror.displayStyle != .collection { text += "\(child.label ?? ""):" }
            write(child.value, &text)
            text += ","
        }
        text += ")"
    }
}
