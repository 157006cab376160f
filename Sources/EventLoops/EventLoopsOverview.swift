// EventLoops: what one thread needs to serve many sockets with epoll.
//
// It holds the parts, not the loop's meaning: `Poller` (epoll), `Socket` (system calls and their outcomes as values; `UnixListeners`
// for paths), `Mailbox` (the way in from other threads), `SignalInbox`, `Resolver` (DNS on its own thread), `WorkerThread`,
// `OwnerThread`. Whoever owns a loop (a proxy worker, the HTTP service) composes them, so that the dispatch of an event is a plain
// switch in one module, with no existential and no closure.
//
// Everything is confined to its loop's thread except `Mailbox.send`, `Resolver` and `UnixListeners`. Numbers from the kernel are trusted,
// numbers from peers never get here.
//
// Next file: `Poller.swift`.
