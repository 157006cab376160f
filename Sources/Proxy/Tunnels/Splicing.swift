internal import EventLoops
internal import HTTP
internal import Primitives
internal import TelemetryModel

/// Tunnels that move much move it inside the kernel: from the one socket into a pipe, from the pipe into the other, without a copy in this process. A connection holds
/// a pipe only while bytes go through it; when there is none left, or the kernel will not, bytes are copied as ever.
extension ProxyWorker {
    /// What a turn of splicing came to.
    enum SpliceOutcome {
        /// Copy instead.
        case declined
        /// Nothing is left to do now.
        case done
        /// The turn's budget is spent.
        case unfinished
    }

    /// Moves what an endpoint has to its client.
    mutating func spliceResponse(_ id: SlotID, _ upstream: UnsafeMutablePointer<UpstreamConnection>) -> SpliceOutcome {
        guard unsafe upstream.pointee.fullReads >= limits.spliceAfterReads, let exchange = unsafe exchanges.pointer(upstream.pointee.exchange),
            unsafe exchange.pointee.flags.contains(.isTunnel), unsafe upstream.pointee.input.isEmpty,
            let connection = unsafe downstreams.pointer(exchange.pointee.downstream), unsafe !connection.pointee.isClosed && connection.pointee.isFlushed,
            let pipe = takePipe()
        else { return .declined }
        unsafe touch(upstream.pointee.exchange, exchange)
        unsafe markFirstByte(exchange)
        unsafe connection.pointee.pipe = pipe
        for _ in 0..<limits.readsPerTurnMax {
            guard let kernel = unsafe pipes.pointer(pipe) else { return .declined }
            switch unsafe kernel.pointee.fill(from: upstream.pointee.fd) {
            case .bytes(let count):
                unsafe exchange.pointee.record.responseBodyBytes &+= UInt64(count)
                handle.statistics.add(handle.statistics.splicedBytes, UInt64(count))
                if count < limits.spliceBytesMin { unsafe upstream.pointee.fullReads = 0 }
                switch unsafe drain(kernel, to: connection.pointee.fd) {
                case .wouldBlock:
                    // `flushDownstream` goes on with it and has the endpoint read again.
                    unsafe upstream.pointee.isPaused = true
                    return .done
                case .failed, .endOfStream:
                    unsafe abandonDownstream(exchange.pointee.downstream)
                    return .done
                case .bytes: break
                }
                if unsafe upstream.pointee.fullReads == 0 {
                    unsafe returnPipe(&connection.pointee.pipe)
                    return .declined
                }
            case .wouldBlock:
                unsafe returnPipe(&connection.pointee.pipe)
                unsafe upstream.pointee.isReadable = unsafe upstream.pointee.sawHangUp
                return unsafe upstream.pointee.sawHangUp ? .declined : .done
            case .endOfStream:
                unsafe returnPipe(&connection.pointee.pipe)
                unsafe upstream.pointee.isReadable = false
                unsafe upstream.pointee.sawHangUp = true
                upstreamEnded(id, wasClean: true)
                return .done
            case .failed:
                // A socket that cannot be spliced tells a read what is wrong with it.
                unsafe returnPipe(&connection.pointee.pipe)
                unsafe upstream.pointee.fullReads = 0
                return .declined
            }
        }
        unsafe returnPipe(&connection.pointee.pipe)
        return .unfinished
    }

    /// Moves what a client has to its endpoint.
    mutating func spliceRequest(_ id: SlotID, _ connection: UnsafeMutablePointer<DownstreamConnection>) -> SpliceOutcome {
        guard unsafe connection.pointee.fullReads >= limits.spliceAfterReads, let exchange = unsafe exchanges.pointer(connection.pointee.exchange),
            unsafe exchange.pointee.flags.contains(.isTunnel), unsafe connection.pointee.input.isEmpty,
            let upstream = unsafe upstreams.pointer(exchange.pointee.upstream), unsafe upstream.pointee.state == .active && upstream.pointee.isFlushed,
            let pipe = takePipe()
        else { return .declined }
        unsafe touch(connection.pointee.exchange, exchange)
        unsafe upstream.pointee.pipe = pipe
        for _ in 0..<limits.readsPerTurnMax {
            guard let kernel = unsafe pipes.pointer(pipe) else { return .declined }
            switch unsafe kernel.pointee.fill(from: connection.pointee.fd) {
            case .bytes(let count):
                unsafe exchange.pointee.record.requestBodyBytes &+= UInt64(count)
                handle.statistics.add(handle.statistics.splicedBytes, UInt64(count))
                if count < limits.spliceBytesMin { unsafe connection.pointee.fullReads = 0 }
                switch unsafe drain(kernel, to: upstream.pointee.fd) {
                // `wantsBytes` holds the client back until `flushUpstream` has gone on with it.
                case .wouldBlock: return .done
                case .failed, .endOfStream:
                    unsafe upstreamEnded(exchange.pointee.upstream, wasClean: false)
                    return .done
                case .bytes: break
                }
                if unsafe connection.pointee.fullReads == 0 {
                    unsafe returnPipe(&upstream.pointee.pipe)
                    return .declined
                }
            case .wouldBlock:
                unsafe returnPipe(&upstream.pointee.pipe)
                unsafe connection.pointee.isReadable = unsafe connection.pointee.sawHangUp
                return unsafe connection.pointee.sawHangUp ? .declined : .done
            case .endOfStream, .failed:
                // A read tells what it was.
                unsafe returnPipe(&upstream.pointee.pipe)
                unsafe connection.pointee.fullReads = 0
                return .declined
            }
        }
        unsafe returnPipe(&upstream.pointee.pipe)
        return .unfinished
    }

    /// Empties a pipe; `bytes` = it is empty.
    private mutating func drain(_ pipe: UnsafeMutablePointer<SplicePipe>, to fd: Int32) -> TransferResult {
        while unsafe pipe.pointee.pending > 0 {
            switch unsafe pipe.pointee.drain(to: fd) {
            case .bytes: continue
            case let other: return other
            }
        }
        return .bytes(0)
    }

    /// Goes on with what a slow peer did not take; `bytes` = nothing is left of it, or nothing was.
    mutating func flushPipe(_ id: inout SlotID, to fd: Int32) -> TransferResult {
        guard let pipe = unsafe pipes.pointer(id) else { return .bytes(0) }
        let outcome = unsafe drain(pipe, to: fd)
        if case .bytes = outcome { returnPipe(&id) }
        return outcome
    }

    private mutating func takePipe() -> SlotID? {
        if let free = pipes.reuse() { return free }
        // Making a pipe takes four system calls; where all are in use, none is made to be thrown away.
        guard pipes.count < limits.splicePipesMax, let pipe = SplicePipe(bytes: limits.splicePipeBytes) else { return nil }
        return pipes.insert(pipe)
    }

    /// Keeps an empty pipe for the next tunnel; one that still holds bytes is closed with them.
    mutating func returnPipe(_ id: inout SlotID) {
        guard let pipe = unsafe pipes.pointer(id) else { return }
        if unsafe pipe.pointee.pending == 0 { pipes.park(id) } else { pipes.remove(id) }
        id = .none
    }
}
