internal import ArgumentParser
internal import Foundation
internal import MeshConfig

/// What commands that read a configuration take besides its paths.
struct SourceOptions: ParsableArguments {
    @Flag(name: [.customShort("R"), .customLong("recursive")], help: "Read the subdirectories of directories as well.")
    var isRecursive = false

    @Flag(help: "Take security policies that this version does not enforce as warnings, as a proxy started with this flag does.")
    var allowUnenforced = false

    @Flag(help: "As for a proxy that has an identity (skein run --identity): mutual TLS is in effect.")
    var withIdentity = false

    func source(_ paths: [String]) -> ConfigurationSource { Self.source(paths, isRecursive: isRecursive) }

    /// Standard input is read to its end where one of the paths is `-`.
    static func source(_ paths: [String], isRecursive: Bool) -> ConfigurationSource {
        ConfigurationSource(
            paths, isRecursive: isRecursive,
            standardInput: paths.contains("-") ? Array(FileHandle.standardInput.readDataToEndOfFile()) : [])
    }

    static func checkStandardInput(_ paths: [String]) throws {
        if paths.count(where: { $0 == "-" }) > 1 { throw ValidationError("- is given twice; standard input can be read once") }
    }
}
