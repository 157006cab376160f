internal import ArgumentParser
internal import Foundation
internal import MeshRuntime

struct InitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Write a configuration of two services to start from.",
        discussion: """
            Writes mesh.yaml and README.md into a directory, asks nothing, and overwrites nothing. The README says what to type next.

            EXAMPLES
              skein init
              skein init my-mesh && less my-mesh/README.md
            """)

    @Argument(help: "Directory; made when missing.", completion: .directory)
    var directory = "mesh"

    @Option(name: .shortAndLong, help: "Output format: text or json.")
    var output = OutputFormat.text

    func run() throws {
        let folder = URL(fileURLWithPath: directory)
        let places = ExampleFiles.all.map { (file: $0, path: folder.appendingPathComponent($0.name).path) }
        let existing = places.map(\.path).filter { FileManager.default.fileExists(atPath: $0) }
        guard existing.isEmpty else {
            complain(
                "skein: \(existing.joined(separator: " and ")) \(existing.count == 1 ? "is" : "are") there already; name another "
                    + "directory, or move what is there")
            throw ExitStatus.badInput
        }
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            for place in places { try Data(place.file.text.utf8).write(to: URL(fileURLWithPath: place.path), options: .withoutOverwriting) }
        } catch {
            complain("skein: \(folder.path) cannot be written: \(error.localizedDescription)")
            throw ExitStatus.system
        }
        let shown = places.map { directory.hasSuffix("/") ? directory + $0.file.name : "\(directory)/\($0.file.name)" }
        switch output {
        case .text:
            print("wrote \(shown.joined(separator: " and "))")
            print("next: skein validate \(ShellText.quoted(shown[0])), and what \(shown[1]) says to type")
        case .json: print("{\"written\":[\(shown.map(JSONText.quote).joined(separator: ","))]}")
        }
    }
}

/// What `skein init` writes: the files of Config/two-services, held to them by a test.
enum ExampleFiles {
    struct File {
        var name: String
        var text: String
    }

    static let all = [
        File(
            name: "mesh.yaml",
            text: #"""
            # Two services, web and api, each beside a proxy of its own. Names in services are what callers write: http://api/ or
            # http://api.default/. Replace addresses and ports by yours; add services by copying a pair of ServiceEntry and WorkloadEntry.

            # api: callers ask for port 80; its workloads' proxies take requests at the workload's port named http.
            apiVersion: networking.istio.io/v1
            kind: ServiceEntry
            metadata: {name: api, namespace: default}
            spec:
              hosts: [api.default.svc.cluster.local]
              location: MESH_INTERNAL
              resolution: STATIC
              ports:
              - {number: 80, name: http, protocol: HTTP}
              workloadSelector: {labels: {app: api}}
            ---
            apiVersion: networking.istio.io/v1
            kind: WorkloadEntry
            metadata: {name: api, namespace: default}
            spec:
              address: 127.0.2.2
              ports: {http: 9080}
              labels: {app: api, version: v1}
            ---
            apiVersion: networking.istio.io/v1
            kind: ServiceEntry
            metadata: {name: web, namespace: default}
            spec:
              hosts: [web.default.svc.cluster.local]
              location: MESH_INTERNAL
              resolution: STATIC
              ports:
              - {number: 80, name: http, protocol: HTTP}
              workloadSelector: {labels: {app: web}}
            ---
            apiVersion: networking.istio.io/v1
            kind: WorkloadEntry
            metadata: {name: web, namespace: default}
            spec:
              address: 127.0.2.1
              ports: {http: 9080}
              labels: {app: web, version: v1}
            ---
            # Every proxy of the namespace: take 9080 on the workload's address, hand requests to the application on 8080 of the same
            # address.
            apiVersion: networking.istio.io/v1
            kind: Sidecar
            metadata: {name: default, namespace: default}
            spec:
              ingress:
              - port: {number: 9080, name: http, protocol: HTTP}
                defaultEndpoint: 0.0.0.0:8080
              egress:
              - hosts: ["./*", "istio-system/*"]
            ---
            # api is tried again when it does not answer, and left out for a while when it keeps failing.
            apiVersion: networking.istio.io/v1
            kind: VirtualService
            metadata: {name: api, namespace: default}
            spec:
              hosts: [api.default.svc.cluster.local]
              http:
              - timeout: 5s
                retries: {attempts: 2, retryOn: "connect-failure,refused-stream,gateway-error"}
                route:
                - destination: {host: api.default.svc.cluster.local}
            ---
            apiVersion: networking.istio.io/v1
            kind: DestinationRule
            metadata: {name: api, namespace: default}
            spec:
              host: api.default.svc.cluster.local
              trafficPolicy:
                outlierDetection: {consecutive5xxErrors: 5, interval: 10s, baseEjectionTime: 30s, maxEjectionPercent: 100}
            ---
            # Every request is logged and traced; spans go to the proxy of web, which keeps them.
            apiVersion: telemetry.istio.io/v1
            kind: Telemetry
            metadata: {name: mesh-default, namespace: istio-system}
            spec:
              accessLogging:
              - providers: [{name: access-log}]
              tracing:
              - providers: [{name: zipkin}]
                randomSamplingPercentage: 100
            ---
            apiVersion: install.istio.io/v1alpha1
            kind: IstioOperator
            metadata: {name: mesh, namespace: istio-system}
            spec:
              meshConfig:
                extensionProviders:
                - name: access-log
                  envoyFileAccessLog: {path: /dev/stdout}
                - name: zipkin
                  zipkin: {service: zipkin.istio-system.svc.cluster.local, port: 9411}
            ---
            apiVersion: networking.istio.io/v1
            kind: ServiceEntry
            metadata: {name: zipkin, namespace: istio-system}
            spec:
              hosts: [zipkin.istio-system.svc.cluster.local]
              location: MESH_INTERNAL
              resolution: STATIC
              ports:
              - {number: 9411, name: http, protocol: HTTP}
              endpoints:
              - address: 127.0.2.1

            """#),
        File(
            name: "README.md",
            text: #"""
            # Two services of your own

            `web` calls `api`; each has a proxy beside it. All of it is in [mesh.yaml](mesh.yaml). In a terminal each:

            ```sh
            # Your services, listening on 8080 of their addresses. Any will do for a try:
            python3 -m http.server 8080 --bind 127.0.2.2        # api
            python3 -m http.server 8080 --bind 127.0.2.1        # web

            # Their proxies. web's keeps the traces of both.
            skein run -c mesh.yaml --node api --bind 127.0.2.2 --no-store
            skein run -c mesh.yaml --node web --bind 127.0.2.1 --data web-data
            ```

            What `web` sends goes through its own proxy, 127.0.2.1:15001: set `http_proxy` for it, or send by hand:

            ```sh
            curl -x http://127.0.2.1:15001 http://api/
            skein traces --server 127.0.2.1:9411
            skein logs -f --server 127.0.2.2:15000
            skein proxy-status 127.0.2.1:15000 127.0.2.2:15000
            skein explain -c mesh.yaml --node web http://api/
            ```

            Stop api and send again: `503`, and `skein proxy-config endpoints --server 127.0.2.1:15000` says why. Edit mesh.yaml: both
            proxies adopt it within a second or two, or say what is wrong and go on.

            """#),
    ]
}
