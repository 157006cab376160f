/// How an attempt got its connection.
enum Attachment {
    /// The head is on its way, on a connection that was there.
    case sent
    /// It goes out as soon as the connection is there.
    case connecting
    /// In line for a connection.
    case waiting
    /// A limit of the cluster, or of the worker, is reached.
    case overflow, tableFull
    case failed(AttemptFailure)
}
