internal import EventLoops
internal import Glibc
internal import Primitives
internal import Routing

/// The first look at the proxy's listeners, before there are workers: one that cannot be opened at start is an error; after a reload it is
/// reported and counted.
///
/// It looks without SO_REUSEPORT: with it the kernel would give each of two proxies of one user half the connections to a port that both
/// took, and say nothing. Nobody can connect to a port that is only looked at. A path is listened on until the workers do, so that
/// whoever connects meanwhile waits.
struct ListenerCheck: ~Copyable {
    private var paths: [(fd: Int32, endpoint: SocketEndpoint)] = []

    init(_ listeners: [ListenerPlan]) throws {
        for plan in listeners where !ListenerTable.hasInherited(plan.endpoint) {
            do throws(SystemError) {
                if plan.endpoint.family == .unix {
                    paths.append((try Socket.listen(on: plan.endpoint, reusePort: false), plan.endpoint))
                } else {
                    try Socket.checkListenable(plan.endpoint)
                }
            } catch {
                let isTaken = error.code == EADDRINUSE && error.advice.isEmpty
                let holder = PortHolder.sentence([plan.endpoint]) ?? "another process has the port"
                throw StartError(
                    status: SkeinProcess.systemError,
                    lines: ["listener \(plan.name) on \(plan.endpoint): \(error)" + (isTaken ? "; \(holder)" : "")])
            }
        }
    }

    /// The workers listen now.
    consuming func end() {}

    deinit {
        for path in paths { Socket.close(listener: path.fd, on: path.endpoint) }
    }
}
