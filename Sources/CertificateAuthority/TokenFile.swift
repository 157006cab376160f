internal import Glibc

/// A file with one token, for the host that will use it.
public enum TokenFile {
    /// Says before a token is made why it could not be written.
    public static func checkPlace(_ path: String) throws(AuthorityError) {
        let place = place(path)
        guard place.directory.mode(place.name) == nil else { throw AuthorityError(.input, "\(path) is there already: name another file") }
        guard unsafe access(place.directory.path, W_OK) == 0 else {
            throw AuthorityError(.system, "\(place.directory.path) cannot be written, or is not there")
        }
    }

    /// 0600.
    public static func write(_ token: JoinToken, to path: String) throws(AuthorityError) {
        var (directory, name) = place(path)
        try directory.write(name, Array("\(token.text)\n".utf8))
    }

    /// Reads it.
    public static func read(_ path: String) throws(AuthorityError) -> JoinToken {
        let place = place(path)
        guard let bytes = try place.directory.read(place.name, bytesMax: JoinToken.textBytesMax) else {
            throw AuthorityError(.input, "\(path): there is no such file")
        }
        guard let token = JoinToken(bytes) else { throw AuthorityError(.input, "\(path) holds no token of skein ca token") }
        return token
    }

    private static func place(_ path: String) -> (directory: PrivateDirectory, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (PrivateDirectory("."), path) }
        let directory = slash == path.startIndex ? "/" : String(path[..<slash])
        return (PrivateDirectory(directory), String(path[path.index(after: slash)...]))
    }
}
