/// How many series one metric has, and what makes them so many: a row of the cardinality governor's report.
public struct SeriesFamily: Sendable, Equatable {
    public struct Label: Sendable, Equatable {
        public var name: String
        /// Distinct values.
        public var values: Int

        public init(name: String, values: Int) {
            self.name = name
            self.values = values
        }
    }

    /// Who brought series: a scraped target, or a process that reports its own.
    public struct Sender: Sendable, Equatable {
        /// Empty where the series have no such label.
        public var job: String
        public var instance: String
        public var series: Int

        public init(job: String, instance: String, series: Int) {
            self.job = job
            self.instance = instance
            self.series = series
        }
    }

    /// The metric's name; a histogram is one metric.
    public var metric: String
    /// Series that are not idle.
    public var series: Int
    /// As many it may have.
    public var seriesMax: Int
    /// Since the store was opened.
    public var overflow = SeriesOverflow()
    /// Most values first; `job` and `instance` are among them.
    public var labels: [Label] = []
    /// Most series first.
    public var senders: [Sender] = []

    public init(metric: String, series: Int, seriesMax: Int) {
        self.metric = metric
        self.series = series
        self.seriesMax = seriesMax
    }
}

/// What had no place in a metric that has as many series as it may. Counts only grow.
public struct SeriesOverflow: Sendable, Equatable {
    /// Series without a place; one that ends and comes back counts again.
    public var series: UInt64 = 0
    /// Samples summed up in the series with `skein_overflow="true"`.
    public var samples: UInt64 = 0
    /// Samples that were refused, because the sums remember no more series, or because they are native histograms.
    public var refused: UInt64 = 0

    public init(series: UInt64 = 0, samples: UInt64 = 0, refused: UInt64 = 0) {
        self.series = series
        self.samples = samples
        self.refused = refused
    }

    public static func += (left: inout SeriesOverflow, right: SeriesOverflow) {
        left.series &+= right.series
        left.samples &+= right.samples
        left.refused &+= right.refused
    }
}

/// Counts over all series of a store, for Prometheus' `status/tsdb`; the greatest of each kind, most first.
public struct SeriesCensus: Sendable, Equatable {
    public struct Count: Sendable, Equatable {
        public var name: String
        public var value: Int

        public init(name: String, value: Int) {
            self.name = name
            self.value = value
        }
    }

    public var series = 0
    public var labelPairs = 0
    public var seriesByMetric: [Count] = []
    public var valuesByLabel: [Count] = []
    /// What the index holds of each label's names and values, once each.
    public var bytesByLabel: [Count] = []
    /// Names are `label=value`.
    public var seriesByLabelPair: [Count] = []

    public init() {}
}
