// Matching: whether a text, a header field, a host name, an address or a path is one that a rule means. For routes and for policies alike.
//
// In: conditions at compile time (`MatcherPoolBuilder`), bytes of a request afterwards. Out: yes or no. It knows no configuration format
// and no resource; whoever compiles one turns its words into these matchers.
//
// A matcher is a small plain value with places in a `MatcherPool`, which holds the texts and the compiled regular expressions of many. Both
// count no reference and are good as long as the `MatcherMemory` that the builder made. Matching allocates nothing and locks nothing; any
// thread may do it.
//
// Invariant: regular expressions are RE2's, so that a pattern costs its input and never more. This is the only target that uses RE2.
// Next file: `StringMatcher.swift`.
