"""A stand-in for the Kubernetes API on loopback, for the real kubectl: TLS, tokens, server-side apply, watch.

It enforces the server's rules: schemas, namespaces, definitions of kinds, fields that never change, owners of fields,
and RBAC by the very Roles that are applied to it. `faults` maps the number of a request to what befalls it.
"""

from tests.pipelines.kubernetes_standin.server import ADMIN, KubernetesStandIn

__all__ = ["ADMIN", "KubernetesStandIn"]
