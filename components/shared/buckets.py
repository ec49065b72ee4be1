"""Make a bucket, and let what lies in it expire: python -m components.shared.buckets --bucket NAME [--expire-days N].

Endpoint and credentials come from the AWS_* environment variables. What is right already is left alone.
"""

import os
from typing import Any

from components.shared.errors import StoreError
from components.shared.s3 import connect
from components.shared.stage import OneLineParser, fail

UNFINISHED_DAYS = 2  # after which the parts of an upload that never ended are removed


def ensure_bucket(bucket: str, expire_days: int = 0) -> list[str]:
    """Make the bucket if it is missing and set its lifecycle; return what changed."""
    from minio.error import MinioException
    from urllib3.exceptions import HTTPError

    endpoint = os.environ.get("AWS_ENDPOINT_URL") or "https://s3.amazonaws.com"
    client = connect(endpoint)
    changes = []
    try:
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket)
            changes.append(f"bucket {bucket}: created")
        wanted = _lifecycle(expire_days)
        now = client.get_bucket_lifecycle(bucket)
        if expire_days and (now is None or _days(now) != _days(wanted)):
            client.set_bucket_lifecycle(bucket, wanted)
            changes.append(f"bucket {bucket}: objects expire after {expire_days} days")
    except (MinioException, HTTPError, OSError) as error:
        reason = getattr(error, "code", "") or type(error).__name__
        raise StoreError(
            f"bucket {bucket} at {endpoint}: {reason}", "check endpoint, credentials and rights"
        ) from None
    return changes


def _lifecycle(days: int) -> Any:
    from minio.commonconfig import ENABLED, Filter
    from minio.lifecycleconfig import (
        AbortIncompleteMultipartUpload,
        Expiration,
        LifecycleConfig,
        Rule,
    )

    rules = [
        Rule(ENABLED, rule_filter=Filter(prefix=""), rule_id="unfinished",
             abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(UNFINISHED_DAYS)),
    ]  # fmt: skip
    if days:
        rules.append(
            Rule(
                ENABLED,
                rule_filter=Filter(prefix=""),
                rule_id="expire",
                expiration=Expiration(days=days),
            )
        )
    return LifecycleConfig(rules)


def _days(lifecycle: Any) -> set[int]:
    return {rule.expiration.days for rule in lifecycle.rules if rule.expiration}


def main() -> None:
    """Parse the flags, make the bucket and say what changed."""
    parser = OneLineParser(prog="python -m components.shared.buckets", description="Make a bucket.")
    parser.add_argument("--bucket", action="append", required=True, metavar="NAME")
    parser.add_argument("--expire-days", type=int, default=0, help="0: never (default: 0)")
    given = parser.parse_args()
    try:
        for bucket in given.bucket:
            print(
                *(
                    ensure_bucket(bucket, given.expire_days)
                    or [f"bucket {bucket}: nothing changed"]
                ),
                sep="\n",
            )
    except StoreError as error:
        fail(error)


if __name__ == "__main__":
    main()
