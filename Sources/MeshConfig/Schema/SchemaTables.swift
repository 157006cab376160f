// The Istio API (1.27 and the deprecated fields that are still out there), in the notation of `Schema`.
// Source: the istio/api protobuf definitions, field names in their JSON form.

enum SchemaTables {
    static let networking = """
        StringMatch
          exact string -- the whole value
          prefix string -- the beginning of the value
          regex string -- RE2; must match the whole value
          oneof exact prefix regex
        Percent
          value double -- percent, 0...100
        PortSelector
          number port
        Destination
          host string -- service name; short names mean the rule's namespace
          subset string -- default: the whole service
          port PortSelector -- default: the service's only port, or the port the request was addressed to
        WorkloadLabels
          labels {string}
        WorkloadMatchLabels
          matchLabels {string}
        PolicyTargetReference
          group string
          kind string
          name string
          namespace string

        VirtualService
          hosts [string] -- required; names or wildcards `*`, `*.example.com`
          gateways [string] -- `mesh`, NAME or NAMESPACE/NAME of a Gateway; default: `[mesh]`
          http [HTTPRoute] -- first match wins
          tls [TLSRoute]
          tcp [TCPRoute]
          exportTo [string] -- default: every namespace
        HTTPRoute
          name string -- shown in access logs
          match [HTTPMatchRequest] -- any of these; default: every request
          route [HTTPRouteDestination]
          redirect HTTPRedirect
          directResponse HTTPDirectResponse
          delegate Delegate
          rewrite HTTPRewrite
          timeout duration -- whole request, retries included; default: none; 0s: none
          retries HTTPRetry
          fault HTTPFaultInjection
          mirror Destination
          mirrors [HTTPMirrorPolicy]
          mirrorPercent uint32 -- deprecated: mirrorPercentage.value
          mirrorPercentage Percent
          corsPolicy CorsPolicy
          headers Headers
        HTTPMatchRequest
          name string
          uri StringMatch -- path without the query string
          scheme StringMatch
          method StringMatch
          authority StringMatch
          headers {StringMatch} -- all must match; `{}` = present; names in any case
          port uint32 -- port the request was addressed to
          sourceLabels {string} -- labels the caller must carry
          gateways [string] -- default: the rule's gateways
          queryParams {StringMatch} -- all must match; names case-sensitive
          ignoreUriCase bool -- default: false; uri exact and prefix only
          withoutHeaders {StringMatch} -- none may match
          sourceNamespace string -- namespace of the caller; default: any
          statPrefix string -- there are no statistics of single routes
        HTTPRouteDestination
          destination Destination -- required
          weight int32 -- share of the sum over the route; default: 0, or everything for a single destination
          headers Headers
        RouteDestination
          destination Destination
          weight int32
        Headers
          request HeaderOperations
          response HeaderOperations
        HeaderOperations
          set {string}
          add {string}
          remove [string]
        HTTPRedirect
          uri string
          authority string
          port uint32
          derivePort RedirectPortSelection
          scheme string
          redirectCode uint32 -- 301 (default), 302, 303, 307, 308
          oneof port derivePort
        enum RedirectPortSelection FROM_PROTOCOL_DEFAULT FROM_REQUEST_PORT
        HTTPDirectResponse
          status uint32 -- 200...599
          body HTTPBody
        HTTPBody
          string string
          bytes string -- base64
          oneof string bytes
        HTTPRewrite
          uri string
          authority string
          uriRegexRewrite RegexRewrite
        RegexRewrite
          match string
          rewrite string
        HTTPRetry
          attempts int32 -- tries after the first; absent or 0 = none (without `retries` at all: 2)
          perTryTimeout duration -- default: the route's timeout
          retryOn string
          retryRemoteLocalities bool
          retryIgnorePreviousHosts bool
          backoff duration -- default: 25ms
        HTTPFaultInjection
          delay FaultDelay
          abort FaultAbort
        FaultDelay
          percent int32 -- deprecated: percentage.value
          fixedDelay duration
          exponentialDelay duration
          percentage Percent -- default: 0
          oneof fixedDelay exponentialDelay
        FaultAbort
          httpStatus int32 -- 200...599
          grpcStatus string
          http2Error string
          percentage Percent -- default: 0
          oneof httpStatus grpcStatus http2Error
        HTTPMirrorPolicy
          destination Destination
          percentage Percent -- default: 100
        Delegate
          name string
          namespace string
        CorsPolicy
          allowOrigin [string] -- deprecated: allowOrigins
          allowOrigins [StringMatch]
          allowMethods [string]
          allowHeaders [string]
          exposeHeaders [string]
          maxAge duration
          allowCredentials bool
          unmatchedPreflights UnmatchedPreflights
        enum UnmatchedPreflights UNSPECIFIED FORWARD IGNORE
        TLSRoute
          match [TLSMatchAttributes]
          route [RouteDestination]
        TLSMatchAttributes
          sniHosts [string]
          destinationSubnets [string]
          port uint32
          sourceLabels {string}
          gateways [string]
          sourceNamespace string
        TCPRoute
          match [L4MatchAttributes]
          route [RouteDestination]
        L4MatchAttributes
          destinationSubnets [string]
          port uint32
          sourceSubnet string
          sourceLabels {string}
          gateways [string]
          sourceNamespace string

        DestinationRule
          host string -- required; short names mean the rule's namespace
          trafficPolicy TrafficPolicy
          subsets [Subset]
          exportTo [string] -- default: every namespace
          workloadSelector WorkloadMatchLabels -- callers the rule applies to; default: all
        Subset
          name string -- required, unique in the rule
          labels {string} -- endpoints that carry all of these; default: every endpoint
          trafficPolicy TrafficPolicy -- replaces the rule's, group by group
        TrafficPolicy
          loadBalancer LoadBalancerSettings
          connectionPool ConnectionPoolSettings
          outlierDetection OutlierDetection
          tls ClientTLSSettings
          portLevelSettings [PortTrafficPolicy] -- replaces all groups for one port
          tunnel TunnelSettings
          proxyProtocol ProxyProtocol
          retryBudget RetryBudget
        PortTrafficPolicy
          port PortSelector -- required
          loadBalancer LoadBalancerSettings
          connectionPool ConnectionPoolSettings
          outlierDetection OutlierDetection
          tls ClientTLSSettings
        TunnelSettings
          protocol string
          targetHost string
          targetPort uint32
        ProxyProtocol
          version ProxyProtocolVersion
        enum ProxyProtocolVersion V1 V2
        RetryBudget
          percent double -- of the requests in flight; default: 20
          minRetryConcurrency uint32
          budgetInterval duration
        LoadBalancerSettings
          simple SimpleLB -- default: LEAST_REQUEST
          consistentHash ConsistentHashLB
          localityLbSetting LocalityLoadBalancerSetting
          warmupDurationSecs duration -- deprecated: warmup.duration
          warmup WarmupConfiguration
          sessionPersistence any
          oneof simple consistentHash
        enum SimpleLB UNSPECIFIED LEAST_CONN RANDOM PASSTHROUGH ROUND_ROBIN LEAST_REQUEST
        WarmupConfiguration
          duration duration
          minimumPercent double
          aggression double
        ConsistentHashLB
          httpHeaderName string
          httpCookie HTTPCookie
          useSourceIp bool
          httpQueryParameterName string
          ringHash RingHash
          maglev MagLev
          minimumRingSize uint64 -- deprecated: ringHash.minimumRingSize
          oneof httpHeaderName httpCookie useSourceIp httpQueryParameterName
          oneof ringHash maglev
        HTTPCookie
          name string
          path string
          ttl duration
          attributes [CookieAttribute]
        CookieAttribute
          name string
          value string
        RingHash
          minimumRingSize uint64
        MagLev
          tableSize uint64
        LocalityLoadBalancerSetting
          distribute [LocalityDistribute]
          failover [LocalityFailover]
          failoverPriority [string]
          enabled bool
        LocalityDistribute
          from string
          to {uint32}
        LocalityFailover
          from string
          to string
        ConnectionPoolSettings
          tcp TCPSettings
          http HTTPSettings
        TCPSettings
          maxConnections int32 -- default: 2^32-1
          connectTimeout duration -- default: 10s
          tcpKeepalive TcpKeepalive
          maxConnectionDuration duration
          idleTimeout duration
        TcpKeepalive
          probes uint32
          time duration
          interval duration
        HTTPSettings
          http1MaxPendingRequests int32 -- default: 2^32-1
          http2MaxRequests int32 -- default: 2^32-1
          maxRequestsPerConnection int32 -- default and 0: unlimited; 1: no keep-alive
          maxRetries int32 -- default: 2^32-1
          idleTimeout duration -- of an upstream connection; default: 1h
          h2UpgradePolicy H2UpgradePolicy
          useClientProtocol bool
          maxConcurrentStreams int32
          http2KeepAlive HTTP2KeepAlive -- HTTP/2 PINGs
        HTTP2KeepAlive
          interval duration
          timeout duration
        enum H2UpgradePolicy DEFAULT DO_NOT_UPGRADE UPGRADE
        OutlierDetection
          consecutiveErrors int32 -- deprecated: consecutiveGatewayErrors
          splitExternalLocalOriginErrors bool
          consecutiveLocalOriginFailures uint32
          consecutiveGatewayErrors uint32
          consecutive5xxErrors uint32
          interval duration -- default: 10s
          baseEjectionTime duration -- default: 30s
          maxEjectionPercent int32 -- default: 10
          minHealthPercent int32 -- default: 0
        ClientTLSSettings
          mode ClientTLSMode -- ISTIO_MUTUAL needs an identity of the process
          clientCertificate string -- path
          privateKey string -- path
          caCertificates string -- path; default: the system's authorities
          caCrl string
          credentialName string
          subjectAltNames [string] -- default: those of the ServiceEntry; then the host, or the endpoint's identity
          sni string -- default: the host
          insecureSkipVerify bool
        enum ClientTLSMode DISABLE SIMPLE MUTUAL ISTIO_MUTUAL

        ServiceEntry
          hosts [string] -- required; full names, used as written
          addresses [string] -- virtual IP addresses or CIDR prefixes
          ports [ServicePort]
          location ServiceEntryLocation -- default: MESH_EXTERNAL
          resolution ServiceEntryResolution -- default: NONE
          endpoints [WorkloadEntry]
          workloadSelector WorkloadLabels -- takes WorkloadEntry of the namespace as endpoints
          exportTo [string] -- default: every namespace
          subjectAltNames [string] -- names of its servers' certificates, where a DestinationRule gives none
        ServicePort
          number port -- required
          protocol string -- HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TCP, TLS, MONGO, MYSQL, REDIS; default: by the first bytes
          name string -- required, unique in the entry
          targetPort port -- default: number
        enum ServiceEntryLocation MESH_EXTERNAL MESH_INTERNAL
        enum ServiceEntryResolution NONE STATIC DNS DNS_ROUND_ROBIN DYNAMIC_DNS
        WorkloadEntry
          address string -- IP address, DNS name, unix:///path or unix://@name (abstract)
          ports {uint32} -- service port name to port number
          labels {string}
          network string
          locality string -- region/zone/subzone
          weight uint32 -- relative share; default: 1
          serviceAccount string -- who it must be when it is spoken to with mutual TLS
        WorkloadGroup
          metadata WorkloadGroupMetadata
          template WorkloadEntry
          probe ReadinessProbe
        WorkloadGroupMetadata
          labels {string}
          annotations {string}
        ReadinessProbe
          initialDelaySeconds int32
          timeoutSeconds int32
          periodSeconds int32
          successThreshold int32
          failureThreshold int32
          httpGet HTTPHealthCheckConfig
          tcpSocket TCPHealthCheckConfig
          exec ExecHealthCheckConfig
          grpc GrpcHealthCheckConfig
          oneof httpGet tcpSocket exec grpc
        HTTPHealthCheckConfig
          path string
          port uint32
          host string
          scheme string
          httpHeaders [HTTPHeader]
        HTTPHeader
          name string
          value string
        TCPHealthCheckConfig
          host string
          port uint32
        ExecHealthCheckConfig
          command [string]
        GrpcHealthCheckConfig
          port uint32
          service string
        Sidecar
          workloadSelector WorkloadLabels -- default: every workload of the namespace
          ingress [IstioIngressListener]
          egress [IstioEgressListener]
          inboundConnectionPool ConnectionPoolSettings
          outboundTrafficPolicy OutboundTrafficPolicy
        IstioIngressListener
          port SidecarPort -- required
          bind string -- address; default: the proxy's inbound address
          captureMode CaptureMode
          defaultEndpoint string -- 127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT, unix:///path or unix://@name; default: same port \
        on loopback
          tls ServerTLSSettings
          connectionPool ConnectionPoolSettings
        IstioEgressListener
          port SidecarPort -- default: every port
          bind string -- address, or unix:///path with port number 0 (every port of the hosts); default: loopback
          captureMode CaptureMode
          hosts [string] -- required; NAMESPACE/HOST with `.`, `*`, `~` or a name before the slash
        SidecarPort
          number uint32
          protocol string
          name string
          targetPort uint32
        enum CaptureMode DEFAULT IPTABLES NONE
        OutboundTrafficPolicy
          mode OutboundTrafficMode -- default: ALLOW_ANY
          egressProxy Destination
        enum OutboundTrafficMode REGISTRY_ONLY ALLOW_ANY
        Gateway
          servers [GatewayServer] -- required
          selector {string} -- labels of the WorkloadEntry whose proxy (--node) opens the ports; default: proxies without --node
        GatewayServer
          port SidecarPort -- required; a WorkloadEntry may give its name another number to listen on
          bind string -- address, or unix:///path with port number 0; default: the workload's own, else loopback
          hosts [string] -- required; HOST or NAMESPACE/HOST of the VirtualServices that may serve here
          tls ServerTLSSettings
          defaultEndpoint string
          name string
        ServerTLSSettings
          httpsRedirect bool
          mode ServerTLSMode
          serverCertificate string
          privateKey string
          caCertificates string
          caCrl string
          caCertCredentialName string
          credentialName string
          credentialNames [string]
          tlsCertificates [TLSCertificate]
          subjectAltNames [string]
          verifyCertificateSpki [string]
          verifyCertificateHash [string]
          minProtocolVersion TLSProtocol
          maxProtocolVersion TLSProtocol
          cipherSuites [string]
        TLSCertificate
          serverCertificate string
          privateKey string
          caCertificates string
        enum ServerTLSMode PASSTHROUGH SIMPLE MUTUAL AUTO_PASSTHROUGH ISTIO_MUTUAL OPTIONAL_MUTUAL
        enum TLSProtocol TLS_AUTO TLSV1_0 TLSV1_1 TLSV1_2 TLSV1_3
        EnvoyFilter
          workloadSelector WorkloadLabels
          targetRefs [PolicyTargetReference]
          configPatches [EnvoyConfigObjectPatch]
          priority int32
        EnvoyConfigObjectPatch
          applyTo EnvoyApplyTo
          match EnvoyObjectMatch
          patch EnvoyPatch
        enum EnvoyApplyTo INVALID LISTENER FILTER_CHAIN NETWORK_FILTER HTTP_FILTER ROUTE_CONFIGURATION VIRTUAL_HOST HTTP_ROUTE CLUSTER \
        EXTENSION_CONFIG BOOTSTRAP LISTENER_FILTER
        EnvoyObjectMatch
          context EnvoyPatchContext
          proxy EnvoyProxyMatch
          listener EnvoyListenerMatch
          routeConfiguration EnvoyRouteConfigurationMatch
          cluster EnvoyClusterMatch
          waypoint EnvoyWaypointMatch
          oneof listener routeConfiguration cluster waypoint
        enum EnvoyPatchContext ANY SIDECAR_INBOUND SIDECAR_OUTBOUND GATEWAY WAYPOINT
        EnvoyProxyMatch
          proxyVersion string
          metadata {string}
        EnvoyListenerMatch
          portNumber uint32
          portName string
          filterChain EnvoyFilterChainMatch
          listenerFilter string
          name string
        EnvoyFilterChainMatch
          name string
          sni string
          transportProtocol string
          applicationProtocols string
          filter EnvoyFilterMatch
          destinationPort uint32
        EnvoyFilterMatch
          name string
          subFilter EnvoySubFilterMatch
        EnvoySubFilterMatch
          name string
        EnvoyRouteConfigurationMatch
          portNumber uint32
          portName string
          gateway string
          vhost EnvoyVirtualHostMatch
          name string
        EnvoyVirtualHostMatch
          name string
          domainName string
          route EnvoyRouteMatch
        EnvoyRouteMatch
          name string
          action EnvoyRouteAction
        enum EnvoyRouteAction ANY ROUTE REDIRECT DIRECT_RESPONSE
        EnvoyClusterMatch
          portNumber uint32
          service string
          subset string
          name string
        EnvoyWaypointMatch
          portNumber port
          filter EnvoyFilterMatch
          route EnvoyWaypointRouteMatch
        EnvoyWaypointRouteMatch
          name string
        EnvoyPatch
          operation EnvoyPatchOperation
          value any
          filterClass EnvoyFilterClass
        enum EnvoyPatchOperation INVALID MERGE ADD REMOVE INSERT_BEFORE INSERT_AFTER INSERT_FIRST REPLACE MERGE_AND_REPLACE_LIST
        enum EnvoyFilterClass UNSPECIFIED AUTHN AUTHZ STATS
        ProxyConfig
          selector WorkloadMatchLabels
          concurrency int32
          environmentVariables {string}
          image ProxyImage
        ProxyImage
          imageType string

        """

    static let policy = """
        RateLimit
          selector WorkloadMatchLabels -- workloads whose proxies count; default: all of the namespace, of the mesh in the root namespace
          side RateLimitSide -- requests that arrive for the workload or that it sends; default: INBOUND
          hosts [string] -- hosts the requests are for, `*.suffix` too; default: all
          limits [LocalRateLimit] -- required; each that applies counts
        LocalRateLimit
          match HTTPMatchRequest -- requests it counts; default: all
          requests uint32 -- required; how many in each `per`
          per duration -- default: 1s; at least 50ms
          burst uint32 -- how many at once; default: `requests`
          by [RateLimitKey] -- who is counted apart; default: everybody together
        RateLimitKey
          header string
          queryParameter string
          clientIP bool
          claim string -- of the token that a RequestAuthentication took; names of nested ones with dots between them
          oneof header queryParameter clientIP claim
        enum RateLimitSide INBOUND OUTBOUND
        UpstreamPolicy
          host string -- required; the service, as in a DestinationRule
          subset string -- default: every subset, and the service as a whole
          loadBalancer UpstreamBalancer -- instead of the DestinationRule's
          healthCheck HealthCheck -- probes of every endpoint; default: none
          outlierDetection RateOutlierDetection -- detectors that a DestinationRule cannot name; default: off
        enum UpstreamBalancer PEAK_EWMA
        HealthCheck
          interval duration -- from one probe to the next; default: 10s; at least 100ms
          timeout duration -- default: 1s
          unhealthyThreshold uint32 -- failed probes in a row; default: 3
          healthyThreshold uint32 -- passed probes in a row; default: 2
          intervalJitter duration -- added at random to each interval; default: a tenth of it
          http HTTPHealthCheck -- GET over HTTP/1.1
          tcp TCPHealthCheck -- a connection that is accepted
          port uint32 -- default: the endpoint's own
          oneof http tcp
        HTTPHealthCheck
          path string -- default: `/`
          host string -- default: the service
          expectedStatuses [string] -- `200` or `200-299`; default: `200`
        TCPHealthCheck
        RateOutlierDetection
          successRate SuccessRateDetection -- endpoints well below the average of all
          failurePercentage FailurePercentageDetection -- endpoints with too many failures
          maxEjectionTime duration -- default: 300s, or baseEjectionTime if longer
          maxEjectionTimeJitter duration -- default: 0s
        SuccessRateDetection
          enforcing uint32 -- percent of the detections that eject; default: 100
          minimumHosts uint32 -- endpoints with enough requests; default: 5
          requestVolume uint32 -- requests in one interval; default: 100
          stdevFactor double -- default: 1.9
        FailurePercentageDetection
          enforcing uint32 -- percent of the detections that eject; default: 100
          threshold uint32 -- percent of failures; default: 85
          minimumHosts uint32 -- default: 5
          requestVolume uint32 -- default: 50
        MeshOutlierDetection
          host string -- required; the service whose endpoints are judged, as in a DestinationRule
          subset string -- default: every subset, and the service as a whole
          mode MeshOutlierMode -- eject mesh-wide, show only what is found, or do not judge; default: ENFORCE
          errorRate MeshErrorRate -- failures of all attempts; default: off
          latency MeshLatency -- endpoints that are slower than their peers; default: off
          minimumReporters uint32 -- identities with a say (processes, where there are no certificates), or nobody is ejected; default: 1
          interval duration -- of a window; default: the DestinationRule's, 10s
          baseEjectionTime duration -- default: the DestinationRule's, 30s
          maxEjectionPercent uint32 -- default: the DestinationRule's, 10
          minHealthPercent uint32 -- default: the DestinationRule's, 0
        enum MeshOutlierMode ENFORCE REPORT_ONLY OFF
        MeshErrorRate
          threshold uint32 -- percent of failures; default: 50
          minimumVolume uint32 -- attempts in the windows, of all reporters; default: 50
          windows uint32 -- that are looked at, up to 10; default: 3
        MeshLatency
          factor double -- the endpoint's 95th percentile, times the median of its peers'; above 1; default: 3
          minimum duration -- below it no endpoint is slow; default: 25ms
          minimumVolume uint32 -- requests in a window, of the endpoint and of each peer; default: 50
          minimumPeers uint32 -- default: 3
          windows uint32 -- in a row in which it is slow, up to 10; default: 2
        PeerAuthentication
          selector WorkloadMatchLabels
          mtls MutualTLS
          portLevelMtls {#MutualTLS} -- by the workload's port; needs a selector
        MutualTLS
          mode MutualTLSMode -- default: of the next wider scope, at last PERMISSIVE
        enum MutualTLSMode UNSET DISABLE PERMISSIVE STRICT
        AuthorizationPolicy
          selector WorkloadMatchLabels
          targetRef PolicyTargetReference
          targetRefs [PolicyTargetReference]
          rules [AuthorizationRule]
          action AuthorizationAction
          provider ProviderReference
        enum AuthorizationAction ALLOW DENY AUDIT CUSTOM
        ProviderReference
          name string -- required
        AuthorizationRule
          from [RuleFrom]
          to [RuleTo]
          when [RuleCondition]
        RuleFrom
          source RuleSource
        RuleSource
          principals [string]
          notPrincipals [string]
          requestPrincipals [string]
          notRequestPrincipals [string]
          namespaces [string]
          notNamespaces [string]
          serviceAccounts [string]
          notServiceAccounts [string]
          ipBlocks [string]
          notIpBlocks [string]
          remoteIpBlocks [string]
          notRemoteIpBlocks [string]
          trustDomains [string]
          notTrustDomains [string]
        RuleTo
          operation RuleOperation
        RuleOperation
          hosts [string]
          notHosts [string]
          ports [string]
          notPorts [string]
          methods [string]
          notMethods [string]
          paths [string]
          notPaths [string]
        RuleCondition
          key string
          values [string]
          notValues [string]
        RequestAuthentication
          selector WorkloadMatchLabels
          targetRef PolicyTargetReference
          targetRefs [PolicyTargetReference]
          jwtRules [JWTRule]
        JWTRule
          issuer string
          audiences [string]
          jwksUri string
          jwks string
          jwksUrl string
          fromHeaders [JWTHeader]
          fromParams [string]
          fromCookies [string]
          outputPayloadToHeader string
          outputClaimToHeaders [ClaimToHeader]
          forwardOriginalToken bool
          timeout duration
          spaceDelimitedClaims [string]
          presence JWTPresence -- default: OPTIONAL
        enum JWTPresence OPTIONAL REQUIRED
        JWTHeader
          name string
          prefix string
        ClaimToHeader
          header string
          claim string
        Telemetry
          selector WorkloadMatchLabels -- default: the whole namespace
          targetRef PolicyTargetReference
          targetRefs [PolicyTargetReference]
          tracing [TelemetryTracing]
          metrics [TelemetryMetrics]
          accessLogging [TelemetryAccessLogging]
        TelemetryTracing
          match TracingSelector
          providers [ProviderReference] -- default: inherited; at most one
          randomSamplingPercentage double -- percent, 0...100; default: inherited, at last 1
          disableSpanReporting bool -- default: inherited
          customTags {CustomTag}
          useRequestIdForTraceSampling bool
          enableIstioTags bool
        TracingSelector
          mode WorkloadMode -- default: CLIENT_AND_SERVER
        enum WorkloadMode CLIENT_AND_SERVER CLIENT SERVER
        CustomTag
          literal CustomTagLiteral
          environment CustomTagSource
          header CustomTagSource
          formatter CustomTagLiteral
          oneof literal environment header formatter
        CustomTagLiteral
          value string
        CustomTagSource
          name string
          defaultValue string
        TelemetryMetrics
          providers [ProviderReference]
          overrides [MetricsOverrides]
          reportingInterval duration
        MetricsOverrides
          match MetricSelector
          disabled bool
          tagOverrides {TagOverride}
        MetricSelector
          metric IstioMetric
          customMetric string
          mode WorkloadMode
          oneof metric customMetric
        enum IstioMetric ALL_METRICS REQUEST_COUNT REQUEST_DURATION REQUEST_SIZE RESPONSE_SIZE TCP_OPENED_CONNECTIONS \
        TCP_CLOSED_CONNECTIONS TCP_SENT_BYTES TCP_RECEIVED_BYTES GRPC_REQUEST_MESSAGES GRPC_RESPONSE_MESSAGES
        TagOverride
          operation TagOverrideOperation
          value string
        enum TagOverrideOperation UPSERT REMOVE
        TelemetryAccessLogging
          match AccessLogSelector
          providers [ProviderReference] -- default: inherited
          disabled bool -- default: inherited
          filter AccessLogFilter
        AccessLogSelector
          mode WorkloadMode -- default: CLIENT_AND_SERVER
        AccessLogFilter
          expression string
        WasmPlugin
          selector WorkloadMatchLabels
          targetRef PolicyTargetReference
          targetRefs [PolicyTargetReference]
          url string
          sha256 string
          imagePullPolicy WasmPullPolicy
          imagePullSecret string
          verificationKey string
          pluginConfig any
          pluginName string
          phase WasmPluginPhase
          priority int32
          failStrategy WasmFailStrategy
          vmConfig WasmVMConfig
          match [ExtensionTrafficSelector]
          type WasmPluginType
        WasmVMConfig
          env [WasmVariable]
        WasmVariable
          name string
          valueFrom WasmVariableSource
          value string
        enum WasmVariableSource INLINE HOST
        ExtensionTrafficSelector
          mode WorkloadMode
          ports [PortSelector]
        TrafficExtension
          selector WorkloadMatchLabels
          targetRefs [PolicyTargetReference]
          phase ExtensionPhase
          priority int32
          match [ExtensionTrafficSelector]
          wasm WasmModule
          lua LuaScript
          oneof wasm lua
        enum ExtensionPhase UNSPECIFIED AUTHN AUTHZ STATS EXECUTION_PHASE_UNSPECIFIED EXECUTION_PHASE_AUTHN EXECUTION_PHASE_AUTHZ \
        EXECUTION_PHASE_STATS
        WasmModule
          url string
          sha256 string
          imagePullPolicy WasmPullPolicy
          imagePullSecret string
          verificationKey string
          pluginConfig any
          pluginName string
          failStrategy WasmFailStrategy
          vmConfig WasmVMConfig
          type WasmPluginType
        LuaScript
          inlineCode string
        enum WasmPullPolicy UNSPECIFIED_POLICY IfNotPresent Always
        enum WasmPluginPhase UNSPECIFIED_PHASE AUTHN AUTHZ STATS
        enum WasmFailStrategy FAIL_CLOSE FAIL_OPEN FAIL_RELOAD
        enum WasmPluginType UNSPECIFIED_PLUGIN_TYPE HTTP NETWORK

        """

    static let mesh = """
        IstioOperator
          profile string
          installPackagePath string
          hub string
          tag any
          resourceSuffix string
          namespace string
          revision string
          defaultRevision bool
          compatibilityVersion string
          meshConfig MeshConfig
          components any
          addonComponents any
          values any
          unvalidatedValues any
        MeshConfig
          proxyListenPort int32
          proxyInboundListenPort int32
          proxyHttpPort int32
          connectTimeout duration
          protocolDetectionTimeout duration
          tcpKeepalive TcpKeepalive
          ingressClass string
          ingressService string
          ingressControllerMode IngressControllerMode
          ingressSelector string
          enableTracing bool -- default: true
          accessLogFile string -- path; default: none
          accessLogFormat string -- default: Istio's text format
          accessLogEncoding AccessLogEncoding -- default: TEXT
          enableEnvoyAccessLogService bool
          disableEnvoyListenerLog bool
          defaultConfig MeshProxyConfig
          outboundTrafficPolicy OutboundTrafficPolicy
          inboundTrafficPolicy InboundTrafficPolicy
          configSources any
          enableAutoMtls bool -- default: true
          trustDomain string -- default: cluster.local
          trustDomainAliases [string] -- workloads of these domains count as those of trustDomain
          caCertificates any
          defaultServiceExportTo [string]
          defaultVirtualServiceExportTo [string]
          defaultDestinationRuleExportTo [string]
          rootNamespace string -- default: istio-system
          localityLbSetting LocalityLoadBalancerSetting
          dnsRefreshRate duration
          h2UpgradePolicy MeshH2UpgradePolicy
          inboundClusterStatName string
          outboundClusterStatName string
          certificates any
          thriftConfig any
          enablePrometheusMerge bool
          verifyCertificateAtClient bool
          ca any
          extensionProviders [ExtensionProvider]
          defaultProviders DefaultProviders
          discoverySelectors any
          pathNormalization ProxyPathNormalization
          defaultHttpRetryPolicy HTTPRetry
          meshMTLS MeshTLSConfig
          tlsDefaults MeshTLSConfig
          serviceSettings any
          serviceScopeConfigs any
          mixerCheckServer string
          mixerReportServer string
          disablePolicyChecks bool
          disableMixerHttpReports bool
          sdsUdsPath string
        enum IngressControllerMode UNSPECIFIED OFF DEFAULT STRICT
        enum AccessLogEncoding TEXT JSON
        enum MeshH2UpgradePolicy DO_NOT_UPGRADE UPGRADE
        InboundTrafficPolicy
          mode InboundTrafficMode
        enum InboundTrafficMode PASSTHROUGH LOCALHOST
        MeshTLSConfig
          minProtocolVersion MeshTLSProtocol
          ecdhCurves [string]
          cipherSuites [string]
        enum MeshTLSProtocol TLS_AUTO TLSV1_2 TLSV1_3
        ProxyPathNormalization
          normalization NormalizationType -- default: BASE
        enum NormalizationType DEFAULT NONE BASE MERGE_SLASHES DECODE_AND_MERGE_SLASHES
        DefaultProviders
          tracing [string] -- names of extensionProviders; at most one
          metrics [string]
          accessLogging [string] -- names of extensionProviders, or envoy
        MeshProxyConfig
          configPath string
          binaryPath string
          serviceCluster string
          tracingServiceName TracingServiceName
          drainDuration duration
          parentShutdownDuration duration
          discoveryAddress string
          discoveryRefreshDelay duration
          zipkinAddress string -- deprecated: tracing.zipkin.address
          connectTimeout duration
          statsdUdpAddress string
          envoyMetricsServiceAddress string
          proxyAdminPort int32
          availabilityZone string
          controlPlaneAuthPolicy AuthenticationPolicy
          customConfigFile string
          statNameLength int32
          concurrency int32
          proxyBootstrapTemplatePath string
          interceptionMode InboundInterceptionMode
          tracing MeshTracing
          sds any
          envoyAccessLogService any
          envoyMetricsService any
          proxyMetadata {string}
          runtimeValues {string}
          statusPort int32
          extraStatTags [string]
          gatewayTopology GatewayTopology
          terminationDrainDuration duration
          meshId string
          readinessProbe ReadinessProbe
          proxyStatsMatcher any
          holdApplicationUntilProxyStarts bool
          caCertificatesPem [string]
          image ProxyImage
          privateKeyProvider any
          proxyHeaders any
          fileFlushInterval duration
          fileFlushMinSizeKb uint32
          statsCompression bool
        enum TracingServiceName APP_LABEL_AND_NAMESPACE CANONICAL_NAME_ONLY CANONICAL_NAME_AND_NAMESPACE
        enum ForwardClientCertDetails UNDEFINED SANITIZE FORWARD_ONLY APPEND_FORWARD SANITIZE_SET ALWAYS_FORWARD_ONLY
        enum AuthenticationPolicy NONE MUTUAL_TLS INHERIT
        enum InboundInterceptionMode REDIRECT TPROXY NONE
        GatewayTopology
          numTrustedProxies uint32
          forwardClientCertDetails ForwardClientCertDetails
          proxyProtocol any
        MeshTracing
          zipkin ZipkinTracing
          lightstep LightstepTracing
          datadog DatadogTracing
          stackdriver any
          openCensusAgent any
          customTags {CustomTag}
          maxPathTagLength uint32
          sampling double -- percent, 0...100; default: 1
          tlsSettings ClientTLSSettings
          enableIstioTags bool
          oneof zipkin lightstep datadog stackdriver openCensusAgent
        ZipkinTracing
          address string -- host:port
        LightstepTracing
          address string
          accessToken string
        DatadogTracing
          address string
        ExtensionProvider
          name string -- required, unique
          envoyExtAuthzHttp ExtAuthzHTTP
          envoyExtAuthzGrpc ExtAuthzGRPC
          zipkin ZipkinProvider
          lightstep ServicePortProvider
          datadog ServicePortProvider
          stackdriver any
          opencensus ServicePortProvider
          skywalking SkyWalkingProvider
          opentelemetry OpenTelemetryProvider
          prometheus PrometheusProvider
          envoyFileAccessLog FileAccessLogProvider
          envoyHttpAls GrpcLogProvider
          envoyTcpAls GrpcLogProvider
          envoyOtelAls OtelLogProvider
          sds any
          oneof envoyExtAuthzHttp envoyExtAuthzGrpc zipkin lightstep datadog stackdriver opencensus skywalking opentelemetry prometheus \
        envoyFileAccessLog envoyHttpAls envoyTcpAls envoyOtelAls sds
        ExtAuthzHTTP
          service string -- required; host or NAMESPACE/host
          port uint32 -- required
          timeout duration -- of a check; default: 600s
          pathPrefix string -- in front of the request's path
          failOpen bool -- requests go on where the check fails; default: false
          clearRouteCache bool -- default: false
          statusOnError string -- where the check fails; default: 403
          includeHeadersInCheck [string]
          includeRequestHeadersInCheck [string] -- NAME, NAME* or *NAME; besides authorization
          includeAdditionalHeadersInCheck {string}
          includeRequestBodyInCheck ExtAuthzRequestBody
          headersToUpstreamOnAllow [string] -- NAME, NAME* or *NAME
          headersToDownstreamOnDeny [string] -- NAME, NAME* or *NAME; default: all
          headersToDownstreamOnAllow [string] -- NAME, NAME* or *NAME
        ExtAuthzGRPC
          service string -- required; host or NAMESPACE/host
          port uint32 -- required
          timeout duration -- of a check; default: 600s
          failOpen bool -- requests go on where the check fails; default: false
          clearRouteCache bool -- default: false
          statusOnError string -- where the check fails; default: 403
          includeRequestBodyInCheck ExtAuthzRequestBody
        ExtAuthzRequestBody
          maxRequestBytes uint32 -- required
          allowPartialMessage bool -- check the beginning of a longer body; default: false, 413
          packAsBytes bool -- gRPC: as bytes instead of text; default: false
        ZipkinProvider
          service string -- required; host or NAMESPACE/host
          port uint32 -- required
          maxTagLength uint32 -- bytes of the path tag; default: 256
          enable64bitTraceId bool -- default: false
          path string -- default: /api/v2/spans
          traceContextOption TraceContextOption -- default: USE_B3
          timeout duration
          headers [ProviderHTTPHeader]
        enum TraceContextOption USE_B3 USE_B3_WITH_W3C_PROPAGATION
        ServicePortProvider
          service string
          port uint32
          accessToken string
          maxTagLength uint32
          context any
        SkyWalkingProvider
          service string
          port uint32
          accessToken string
        OpenTelemetryProvider
          service string -- required
          port uint32 -- required
          maxTagLength uint32 -- bytes; default: 256
          http OpenTelemetryHTTP -- default: gRPC
          grpc any
          resourceDetectors any
          dynatraceSampler any
          oneof http grpc
        OpenTelemetryHTTP
          path string -- default: /v1/traces
          timeout duration -- default: 10s
          headers [ProviderHTTPHeader]
        ProviderHTTPHeader
          name string
          value string
          envName string
          oneof value envName
        PrometheusProvider
        FileAccessLogProvider
          path string -- default: /dev/stdout
          logFormat FileLogFormat -- default: Istio's text format
          omitEmptyValues bool -- default: false
        FileLogFormat
          text string
          labels any -- JSON object of format strings
          oneof text labels
        GrpcLogProvider
          service string
          port uint32
          logName string
          filterStateObjectsToLog [string]
          additionalRequestHeadersToLog [string]
          additionalResponseHeadersToLog [string]
          additionalResponseTrailersToLog [string]
        OtelLogProvider
          service string
          port uint32
          logName string
          logFormat OtelLogFormat
        OtelLogFormat
          text string
          labels any

        """
}
