internal import HTTP
internal import OutlierDetection
internal import Policy
internal import Primitives
internal import TelemetryModel

/// Checks of connections that are no HTTP, before an endpoint gets them (Envoy: the network filter ext_authz, by gRPC alone). The rest of
/// a check is that of a request (`CheckTraffic`); what is to be done for the connection is said, and `TunnelTraffic` does it.
enum ConnectionChecks {
    /// Begins the check of a connection. `serverName`: of TLS that is passed on as it is. A provider that is asked by HTTP is not asked
    /// about connections: they are refused, whatever it says of failures.
    static func begin(
        _ id: SlotID, _ tunnel: inout Tunnel, _ serverName: LentBytes, _ sides: inout Sides
    ) -> CheckTraffic.Outcome {
        let epoch = tunnel.epoch
        guard let authorizer = sides.epochs.all[epoch].authorizer, authorizer.use({ $0.isGRPC }) else {
            CheckTraffic.tally(.error, epoch, &sides)
            return .refused(CheckTraffic.refuseByError(status: 403))
        }
        let cluster = sides.epochs.all[epoch].authorizerCluster
        guard cluster >= 0, let check = sides.checks.make() else { return fail(&tunnel, &sides) }
        sides.checks.all[check].begin(.none, tunnel.origin, epoch: epoch)
        sides.checks.all[check].tunnel = id
        sides.checks.all[check].phase = .asking
        sides.epochs.enter(epoch)
        tunnel.check = check
        write(tunnel.origin, serverName, authorizer, check, &sides)
        let timeout = authorizer.use { $0.timeoutNanoseconds }
        sides.checks.all[check].timer = sides.loop.arm(.check, check, at: sides.loop.now + timeout)
        let isSent = sides.checks.all[check].send(
            check, cluster: cluster, isHTTP2: true, &sides.upstreams, &sides.context, &sides.loop, &sides.epochs.all[epoch])
        return isSent ? .waiting : conclude(&tunnel, &sides)
    }

    private static func write(
        _ origin: RequestOrigin, _ serverName: LentBytes, _ authorizer: Held<ExternalAuthorizer>, _ check: SlotID,
        _ sides: inout Sides
    ) {
        let ownName = sides.downstreams.ownName(origin.connection)
        var subject = CheckSubject()
        subject.isHTTP = false
        subject.peer = sides.context.peer
        if !serverName.isEmpty { subject.peer.serverName = serverName }
        subject.source = origin.remote
        subject.destination = origin.local
        unsafe ownName.withUnsafeBytes { ownName in
            unsafe subject.ownPrincipal = LentBytes(ownName)
            authorizer.use { CheckHead.writeCall(&sides.checks.all[check], subject, $0) }
        }
    }

    /// The connection goes on by what its check came to.
    static func conclude(_ tunnel: inout Tunnel, _ sides: inout Sides) -> CheckTraffic.Outcome {
        let check = tunnel.check
        CheckTraffic.endAsking(check, &sides)
        switch sides.checks.all[check].answer.verdict {
        case .failed: return fail(&tunnel, &sides)
        case .denied:
            CheckTraffic.tally(.denied, tunnel.epoch, &sides)
            return .refused(LocalAnswer(403, .externalAuthorizationDenied, [.unauthorizedExternalService]))
        case .allowed:
            CheckTraffic.tally(.ok, tunnel.epoch, &sides)
            release(&tunnel, &sides)
            return .passed
        }
    }

    private static func fail(_ tunnel: inout Tunnel, _ sides: inout Sides) -> CheckTraffic.Outcome {
        release(&tunnel, &sides)
        CheckTraffic.tally(.error, tunnel.epoch, &sides)
        guard sides.epochs.all[tunnel.epoch].authorizer?.use({ $0.isFailOpen }) ?? false else {
            return .refused(CheckTraffic.refuseByError(status: 403))
        }
        CheckTraffic.tally(.failureModeAllowed, tunnel.epoch, &sides)
        return .passed
    }

    /// The connection needs its check no more.
    static func release(_ tunnel: inout Tunnel, _ sides: inout Sides) {
        let check = tunnel.check
        tunnel.check = .none
        CheckTraffic.retire(check, &sides)
    }
}
