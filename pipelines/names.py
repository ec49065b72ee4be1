"""Names of what the pipeline's pods find in their namespace; the manifests and the placement agree on them."""

SECRET = "arxtune-secrets"  # noqa: S105  the name of a Kubernetes Secret, not a secret
STORE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
OPTIONAL_STORE_KEYS = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_SESSION_TOKEN")
MODELS = "arxtune-models"  # PersistentVolumeClaim: base models fetched once for all runs
PIPELINE = "arxtune"
