// swift-tools-version: 6.2
import PackageDescription

/// One list of settings for every Swift target of ours. Strict memory safety makes each unsafe
/// expression say so; warnings are errors so that none is ever read past.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableExperimentalFeature("Lifetimes"),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    // The request path crosses modules; this lets the optimiser see through them.
    .unsafeFlags(["-cross-module-optimization"], .when(configuration: .release)),
]

/// A Swift target of the layered picture in docs/architecture.md. `uses` may only name lower layers;
/// Tests/ArchitectureTests holds every import to it.
func layer(_ name: String, uses: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: uses, path: "Sources/\(name)", swiftSettings: settings)
}

/// A layer that requests pass through. Its files are one unit to LLVM, which otherwise gets them apart, as many at once as there are
/// processors, and then keeps a private function of one file from being inlined into another.
func requestPath(_ name: String, uses: [Target.Dependency] = []) -> Target {
    let unit = SwiftSetting.unsafeFlags(["-Xfrontend", "-enable-single-module-llvm-emission"], .when(configuration: .release))
    return .target(name: name, dependencies: uses, path: "Sources/\(name)", swiftSettings: settings + [unit])
}

func suite(_ name: String, uses: [Target.Dependency], exclude: [String] = [], resources: [Resource]? = nil) -> Target {
    .testTarget(name: name, dependencies: uses, path: "Tests/\(name)", exclude: exclude, resources: resources, swiftSettings: settings)
}

func tool(_ name: String, uses: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: uses, path: "Tools/\(name)", swiftSettings: settings)
}

func system(_ name: String, _ pkgConfig: String, apt: String) -> Target {
    .systemLibrary(name: name, path: "Sources/\(name)", pkgConfig: pkgConfig, providers: [.apt([apt])])
}

let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")

let package = Package(
    name: "skein",
    products: [.executable(name: "skein", targets: ["skein"])],
    dependencies: [
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        // C: module maps and shims, no logic.
        .target(name: "CSystem", path: "Sources/CSystem"),
        system("CSQLite", "sqlite3", apt: "libsqlite3-dev"),
        system("CProtobufC", "libprotobuf-c", apt: "libprotobuf-c-dev"),
        system("CZlib", "zlib", apt: "zlib1g-dev"),
        system("CNGHTTP2", "libnghttp2", apt: "libnghttp2-dev"),
        system("CZstd", "libzstd", apt: "libzstd-dev"),
        system("COpenSSL", "openssl", apt: "libssl-dev"),
        system("CSnappy", "snappy", apt: "libsnappy-dev"),
        system("CRE2System", "re2", apt: "libre2-dev"),
        .target(name: "CRE2", dependencies: ["CRE2System"], path: "Sources/CRE2"),
        .target(name: "CWebPage", path: "Sources/CWebPage", exclude: ["web"]),
        .target(name: "COTLP", dependencies: ["CProtobufC"], path: "Sources/COTLP", exclude: ["proto"]),

        // 1
        requestPath("Primitives", uses: ["CSystem"]),
        // 2
        requestPath("EventLoops", uses: ["Primitives", "CSystem"]),
        layer("Compression", uses: ["CSnappy", "CZlib", "CZstd"]),
        requestPath("HTTP", uses: ["Primitives", "CNGHTTP2"]),
        layer("TLS", uses: ["COpenSSL"]),
        layer("JOSE", uses: ["Primitives", "COpenSSL"]),
        // 3
        requestPath("Streams", uses: ["Primitives", "EventLoops", "TLS"]),
        requestPath("Matching", uses: ["Primitives", "HTTP", "CRE2"]),
        layer("MeshConfig", uses: ["Primitives", yams]),
        requestPath("TelemetryModel", uses: ["Primitives"]),
        layer("TelemetryWire", uses: ["Primitives", "TelemetryModel", "COTLP", "CProtobufC"]),
        // 4
        layer("HTTPService", uses: ["Primitives", "EventLoops", "TLS", "Streams", "HTTP", "Compression"]),
        requestPath("Routing", uses: ["Primitives", "HTTP", "Matching", "MeshConfig", "TelemetryModel"]),
        requestPath("Policy", uses: ["Primitives", "HTTP", "JOSE", "Matching", "MeshConfig", "TelemetryModel"]),
        requestPath("OutlierDetection", uses: ["Primitives", "TelemetryModel"]),
        layer("CanaryAnalysis", uses: []),
        layer("CertificateAuthority", uses: ["TLS"]),
        // 5
        layer("CertificateExchange", uses: ["Primitives", "EventLoops", "TLS", "HTTP", "HTTPService", "CertificateAuthority"]),
        requestPath("Proxy", uses: [
            "Primitives", "EventLoops", "TLS", "Streams", "HTTP", "Matching", "TelemetryModel", "Routing", "Policy",
            "OutlierDetection",
        ]),
        layer("TelemetryStore", uses: ["Primitives", "Compression", "Matching", "TelemetryModel", "CSQLite"]),
        layer("PromQL", uses: ["Primitives", "TelemetryModel", "Matching"]),
        // For tests only: a world in memory. Nothing that `skein` is made of knows it.
        layer("Simulation", uses: ["Primitives", "EventLoops", "Streams", "HTTP"]),
        // 6
        layer("Collector", uses: [
            "Primitives", "EventLoops", "TLS", "Compression", "HTTP", "HTTPService", "TelemetryModel", "TelemetryWire", "OutlierDetection",
            "TelemetryStore",
        ]),
        layer("QueryAPI", uses: [
            "Primitives", "EventLoops", "Compression", "HTTPService", "Matching", "TelemetryModel", "TelemetryWire", "CanaryAnalysis",
            "PromQL", "CWebPage",
        ]),
        // 8
        layer("MeshRuntime", uses: [
            "Primitives", "EventLoops", "HTTP", "HTTPService", "MeshConfig", "TelemetryModel", "TelemetryWire", "Routing", "Policy",
            "OutlierDetection", "Proxy", "TelemetryStore", "CanaryAnalysis", "PromQL", "Matching", "Collector", "QueryAPI", "JOSE", "TLS",
            "CertificateAuthority", "CertificateExchange", logging,
        ]),
        // 9
        .executableTarget(
            name: "skein",
            dependencies: [
                "Primitives", "EventLoops", "TLS", "JOSE", "HTTPService", "CertificateAuthority", "CertificateExchange", "TelemetryModel",
                "MeshConfig", "MeshRuntime", argumentParser,
            ],
            path: "Sources/skein", swiftSettings: settings),

        suite("PrimitivesTests", uses: ["Primitives"]),
        suite("EventLoopsTests", uses: ["EventLoops", "Primitives"]),
        suite("StreamsTests", uses: ["Streams", "EventLoops", "Primitives", "TLS"]),
        suite("TLSTests", uses: ["TLS"]),
        suite("JOSETests", uses: ["JOSE", "Primitives", "TLS"]),
        suite("CertificateAuthorityTests", uses: ["CertificateAuthority", "TLS"]),
        suite("CertificateExchangeTests", uses: ["CertificateExchange", "CertificateAuthority", "HTTPService", "Primitives", "TLS"]),
        suite("CompressionTests", uses: ["Compression", "CZlib", "CZstd", "Primitives"]),
        suite("HTTPTests", uses: ["HTTP", "Primitives"]),
        suite("MatchingTests", uses: ["Matching", "HTTP", "Primitives"]),
        suite("MeshConfigTests", uses: ["MeshConfig"]),
        suite("HTTPServiceTests", uses: ["HTTPService", "TLS", "Streams", "EventLoops", "HTTP", "Primitives"]),
        suite("RoutingTests", uses: ["Routing", "HTTP", "MeshConfig", "TelemetryModel", "Primitives"]),
        suite("PolicyTests", uses: ["Policy", "HTTP", "JOSE", "Matching", "MeshConfig", "TelemetryModel", "Primitives"]),
        suite("OutlierDetectionTests", uses: ["OutlierDetection", "TelemetryModel", "Primitives"], resources: [.copy("Scenarios")]),
        suite("CanaryAnalysisTests", uses: ["CanaryAnalysis", "CanaryBench", "Primitives"]),
        suite("TelemetryModelTests", uses: ["TelemetryModel", "Primitives"]),
        suite("TelemetryWireTests", uses: ["TelemetryWire", "TelemetryModel", "Primitives", "COTLP", "CProtobufC"]),
        suite("TelemetryStoreTests", uses: ["TelemetryStore", "TelemetryModel", "Matching", "Primitives"]),
        suite("CollectorTests", uses: [
            "Collector", "Compression", "EventLoops", "HTTP", "HTTPService", "TelemetryWire", "TelemetryModel", "OutlierDetection", "Primitives",
        ]),
        suite("QueryAPITests", uses: [
            "QueryAPI", "CanaryAnalysis", "Primitives", "EventLoops", "HTTPService", "Matching", "PromQL", "TelemetryModel",
            "TelemetryWire",
        ]),
        suite("PromQLTests", uses: ["PromQL", "TelemetryModel", "Matching", "Primitives"], exclude: ["Scripts"]),
        suite("ProxyTests", uses: [
            "Proxy", "Simulation", "Streams", "TLS", "Routing", "OutlierDetection", "Policy", "MeshConfig", "TelemetryModel", "EventLoops",
            "HTTP", "Primitives",
        ]),
        suite("MeshRuntimeTests", uses: [
            "MeshRuntime", "Proxy", "Routing", "OutlierDetection", "MeshConfig", "TelemetryModel", "TelemetryWire", "HTTP",
            "HTTPService", "EventLoops", "Primitives", "TLS", "Policy",
        ]),
        suite("skeinTests", uses: ["skein", "MeshRuntime", "MeshConfig", "TelemetryModel", argumentParser]),
        suite("ArchitectureTests", uses: []),
        suite("FuzzTests", uses: ["FuzzEntries"]),

        .target(
            name: "FuzzEntries",
            dependencies: ["HTTP", "JOSE", "MeshConfig", "Primitives", "QueryAPI", "TLS", "TelemetryModel", "TelemetryWire"],
            path: "Tools/Fuzz", swiftSettings: settings),
        tool("WireBench", uses: ["TelemetryWire", "TelemetryModel", "Primitives", "COTLP", "CProtobufC"]),
        tool("CollectorBench", uses: ["Collector", "EventLoops", "HTTPService", "TelemetryWire", "TelemetryModel", "Primitives"]),
        tool("JOSEBench", uses: ["JOSE", "Primitives", "COpenSSL"]),
        tool("CanaryBench", uses: ["CanaryAnalysis", "Primitives"]),
        tool("OutlierBench", uses: ["Collector", "OutlierDetection", "Primitives", "TelemetryModel"]),
        tool("Floor", uses: ["EventLoops", "Primitives"]),
        tool("Bookinfo", uses: ["EventLoops", "HTTPService", "Primitives"]),
        tool("ScrapeBench", uses: ["QueryAPI", "Primitives", "TelemetryModel", "TelemetryWire"]),
        tool("PromQLBench", uses: ["PromQL", "TelemetryModel", "Matching"]),
        tool("SeriesBench", uses: ["TelemetryStore", "TelemetryModel", "Matching", "Primitives"]),
        tool("SpanBench", uses: ["TelemetryStore", "TelemetryWire", "TelemetryModel", "Primitives"]),
    ]
)
