/// TraceQL as far as Tempo's face takes it, for whoever wants to know whether a text is such a query.
public enum TraceQL {
    /// Where a text stops being a query that is supported (characters from 1) and why; nil = it is one. Any thread; cost is linear in the
    /// text.
    public static func problem(_ text: String) -> (place: Int, text: String)? {
        do throws(TraceQLError) {
            _ = try TraceQLParser.parse(text)
            return nil
        } catch {
            return (error.place, error.text)
        }
    }
}
