import Glibc
import MeshConfig
@testable import MeshRuntime
import Testing

/// A watcher that expectations can ask.
private final class Watching {
    private var watcher: FileWatcher

    init(_ paths: [String]) { watcher = FileWatcher(ConfigurationSource(paths)) }

    /// Two looks: a change counts when the second sees what the first saw.
    func hasChanged() -> Bool { look() || look() }
    func look() -> Bool { watcher.hasSettledChange() }
    func take() { watcher.take() }
}

@Suite struct FileWatcherTests {
    private let directory = TemporaryDirectory()

    /// Polled twice a second: a watcher that sees changes where there are none would compile the mesh twice a second.
    @Test func staysQuietWhileNothingChanges() {
        directory.write("a.yaml", "a")
        let watcher = Watching([directory.path, directory.file("a.yaml"), "/no/such/file"])
        for _ in 0..<5 { #expect(!watcher.hasChanged()) }
    }

    /// Each of these is how some editor or tool changes a configuration.
    @Test func noticesEveryWayOfChangingAFile() {
        directory.write("a.yaml", "a: 1")
        let watcher = Watching([directory.path])
        func expect(_ what: Comment, _ change: () -> Void) {
            change()
            #expect(watcher.hasChanged(), what)
            #expect(!watcher.hasChanged(), "once: \(what)")
        }
        expect("appended") { directory.write("a.yaml", "\nb: 2", appends: true) }
        expect("cut") { directory.write("a.yaml", "a: 1") }
        expect("replaced by another file") { directory.replace("a.yaml", "a: 2") }
        expect("a new file") { directory.write("b.yml", "") }
        expect("the new file is filled") { directory.write("b.yml", "b: 1") }
        expect("gone") { directory.remove("b.yml") }
        expect("renamed") { unsafe rename(directory.file("a.yaml"), directory.file("c.yaml")) }
    }

    /// `cp -p` and rsync set the time of modification back, and the size may stay the same: `v1` became `v2`.
    @Test func noticesAChangeThatKeepsSizeAndTime() {
        directory.write("a.yaml", "subset: v1")
        var before = stat()
        unsafe stat(directory.file("a.yaml"), &before)
        let watcher = Watching([directory.file("a.yaml")])
        // The file system's clock ticks every few milliseconds; what is written within one tick looks the same.
        eventually("it is noticed") {
            directory.write("a.yaml", "subset: v2")
            var times = [before.st_atim, before.st_mtim]
            unsafe utimensat(AT_FDCWD, directory.file("a.yaml"), &times, 0)
            return watcher.hasChanged()
        }
        var after = stat()
        unsafe stat(directory.file("a.yaml"), &after)
        #expect(after.st_mtim.tv_nsec == before.st_mtim.tv_nsec && after.st_size == before.st_size, "or else this tests nothing")
    }

    /// A reload may meet half a file; the other half is one more change, so that the whole is read in the end.
    @Test func noticesTheOtherHalfOfAFile() {
        let watcher = Watching([directory.path])
        directory.write("a.yaml", "apiVersion: networ")
        #expect(watcher.hasChanged())
        directory.write("a.yaml", "king.istio.io/v1", appends: true)
        #expect(watcher.hasChanged())
    }

    /// `: > mesh.yaml` and its text a second later: what changes from look to look is still being written.
    @Test func waitsUntilTwoLooksAgree() {
        directory.write("a.yaml", "a: 1")
        let watcher = Watching([directory.path])
        directory.write("a.yaml", "")
        #expect(!watcher.look())
        directory.write("a.yaml", "a: 2")
        #expect(!watcher.look(), "it changed between the looks")
        #expect(watcher.look())
        #expect(!watcher.look())
    }

    /// SIGHUP has just read what is there: the change it read must not be told again.
    @Test func whatWasTakenIsNoChange() {
        directory.write("a.yaml", "a: 1")
        let watcher = Watching([directory.path])
        directory.write("a.yaml", "a: 22")
        watcher.take()
        #expect(!watcher.hasChanged())
    }

    /// With -R a file two directories down is part of the configuration, and a link in a circle ends.
    @Test func looksIntoSubdirectoriesWhenAsked() {
        unsafe mkdir(directory.file("sub"), 0o755)
        unsafe symlink(directory.path, directory.file("sub/circle"))
        directory.write("sub/a.yaml", "a: 1")
        var flat = FileWatcher([directory.path])
        var deep = FileWatcher(ConfigurationSource([directory.path], isRecursive: true))
        directory.write("sub/a.yaml", "a: 22")
        #expect(!flat.hasSettledChange() && !flat.hasSettledChange())
        let looks = [deep.hasSettledChange(), deep.hasSettledChange()]
        #expect(looks == [false, true])
    }

    /// The configuration may appear after the process: a volume that is mounted late.
    @Test func noticesAPathThatAppearsAndGoes() {
        let watcher = Watching([directory.file("later.yaml")])
        #expect(!watcher.hasChanged())
        directory.write("later.yaml", "a")
        #expect(watcher.hasChanged())
        directory.remove("later.yaml")
        #expect(watcher.hasChanged())
    }

    /// Kubernetes changes a mounted ConfigMap by turning one symbolic link.
    @Test func noticesATurnedSymbolicLink() {
        directory.write("one", "a: 1")
        directory.write("two", "a: 2")
        unsafe symlink(directory.file("one"), directory.file("a.yaml"))
        let watcher = Watching([directory.file("a.yaml")])
        unsafe symlink(directory.file("two"), directory.file("next"))
        unsafe rename(directory.file("next"), directory.file("a.yaml"))
        #expect(watcher.hasChanged())
        directory.write("two", "a: 333")
        #expect(watcher.hasChanged(), "what it leads to is watched")
    }

    /// Access logs beside the configuration grow with every request.
    @Test func doesNotLookAtOtherFiles() {
        directory.write("access.log", "1")
        directory.write("a.yaml", "a")
        let watcher = Watching([directory.path])
        directory.write("access.log", "2", appends: true)
        #expect(!watcher.hasChanged())
    }
}
