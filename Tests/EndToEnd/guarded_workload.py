"""A workload whose proxy takes requests for it: what policies and tokens are tried at."""

from conftest import mesh


def guarded_workload(name, port, backend_port, resources="", protocol="HTTP"):
    """The configuration of a workload of this name and label `app`, whose inbound listener is on `port`, with `resources` behind it."""
    return mesh(
        9,
        f"""
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}, namespace: production}}
spec: {{address: 127.0.0.1, serviceAccount: {name}, labels: {{app: {name}}}}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {name}, namespace: production}}
spec:
  workloadSelector: {{labels: {{app: {name}}}}}
  ingress:
  - port: {{number: {port}, protocol: {protocol}, name: p}}
    defaultEndpoint: 127.0.0.1:{backend_port}
{resources}""",
    )
