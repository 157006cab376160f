/// Names of credentials, which are directories' names here and secrets' in Kubernetes.
public enum CredentialName {
    private static let lengthMax = 253
    private static let prefixes = ["kubernetes://"]

    /// Without the scheme that Istio lets one write before it.
    public static func plain(_ text: String) -> String {
        prefixes.first { text.hasPrefix($0) }.map { String(text.dropFirst($0.count)) } ?? text
    }

    /// What is wrong with a name, or nil: it must stay inside of the directory of credentials.
    static func problem(_ text: String) -> String? {
        let name = plain(text)
        let isPlain = name.utf8.allSatisfy { ObjectName.isAlphanumeric($0) || "-_.".utf8.contains($0) }
        guard isPlain, !name.isEmpty, name.utf8.count <= lengthMax, !name.hasPrefix(".") else {
            return "is no name of a credential: letters, digits, '-', '_' and '.', as of a Kubernetes secret"
        }
        return nil
    }
}
