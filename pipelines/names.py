"""Names of what the pipeline's pods find in their namespace; manifests and placement agree."""

PIPELINE = "arxtune"
MODELS = "arxtune-models"  # PersistentVolumeClaim: base models fetched once for all runs
KUBEFLOW_BUCKET = "s3://mlpipeline"  # that Kubeflow Pipelines makes for itself
STORE = f"{KUBEFLOW_BUCKET}/arxtune"  # unless one of one's own is named
SECRET = "arxtune-secrets"  # noqa: S105  the name of a Kubernetes Secret, not a secret
# Names of our own: AWS_* would also reach Kubeflow's launcher, which shares the stage's container.
STORE_KEYS = ("ARXTUNE_S3_ACCESS_KEY_ID", "ARXTUNE_S3_SECRET_ACCESS_KEY")
OPTIONAL_STORE_KEYS = (
    "ARXTUNE_S3_ENDPOINT_URL",
    "ARXTUNE_S3_REGION",
    "ARXTUNE_S3_SESSION_TOKEN",
)
