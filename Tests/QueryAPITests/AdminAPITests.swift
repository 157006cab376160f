import Foundation
import HTTPService
import QueryAPI
import Synchronization
import Testing

struct AdminAPITests {
    @Test func saysWhyItIsNotReady() throws {
        let server = try TestServer()
        for path in ["/healthz/ready", "/ready"] {
            server.readinessBox.value.withLock { $0 = .ready }
            #expect(try server.get(path).status == 200)
            server.readinessBox.value.withLock { $0 = .notReady(reason: "draining") }
            let answer = try server.get(path)
            #expect(answer.status == 503)
            #expect(answer.text == "not ready: draining\n")
            #expect(try server.send("POST", path).status == 405)
        }
    }

    @Test func dumpsTheConfigurationAsJSON() throws {
        let answer = try TestServer().get("/config_dump")
        let object = try #require(try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any])
        #expect(object["generation"] as? Int == 7)
        #expect((object["listeners"] as? [[String: String]])?.first?["address"] == "127.0.0.1:15001")
        #expect((object["routes"] as? [[String: String]])?.first?["name"] == "a \"quoted\" route\n")
        #expect((object["clusters"] as? [Any])?.isEmpty == true)
    }
}
