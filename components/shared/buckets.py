"""Make a bucket, and let what lies below some prefixes of it expire.

    python -m components.shared.buckets --bucket NAME [--expire-days N --prefix P/ --prefix Q/]

What is right already is left alone, and so are rules of others.
"""

from collections.abc import Sequence
from typing import Any

from components.shared.errors import StoreError
from components.shared.s3 import connect, s3_endpoint
from components.shared.stage import OneLineParser, fail

UNFINISHED_DAYS = 2  # after which the parts of an upload that never ended are removed
OURS = "arxtune-"  # begins the names of our rules


def ensure_bucket(bucket: str, expire_days: int = 0, prefixes: Sequence[str] = ()) -> list[str]:
    """Make the bucket if it is missing and set its rules; return what changed, a line each."""
    from minio.error import MinioException
    from urllib3.exceptions import HTTPError

    client = connect()
    changes = []
    try:
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket)
            changes.append(f"bucket {bucket}: created")
        if expire_days and _set_rules(client, bucket, expire_days, prefixes):
            places = " and ".join(prefixes) or "all of it"
            changes.append(f"bucket {bucket}: {places} expires after {expire_days} days")
    except (MinioException, HTTPError, OSError, ValueError) as error:
        reason = getattr(error, "code", "") or type(error).__name__
        problem = f"bucket {bucket} at {s3_endpoint()}: {reason}"
        raise StoreError(problem, "check endpoint, credentials and rights") from None
    return changes


def _set_rules(client: Any, bucket: str, days: int, prefixes: Sequence[str]) -> bool:
    """Set our rules beside those of others; return whether that changed anything."""
    from minio.lifecycleconfig import LifecycleConfig

    now = client.get_bucket_lifecycle(bucket)
    rules = list(now.rules) if now else []
    ours = [rule for rule in rules if str(rule.rule_id).startswith(OURS)]
    wanted = [_rule(prefix, days) for prefix in prefixes or ("",)]
    if sorted(map(_content, ours)) == sorted(map(_content, wanted)):
        return False
    others = [rule for rule in rules if rule not in ours]
    client.set_bucket_lifecycle(bucket, LifecycleConfig([*others, *wanted]))
    return True


def _rule(prefix: str, days: int) -> Any:
    from minio.commonconfig import ENABLED, Filter
    from minio.lifecycleconfig import AbortIncompleteMultipartUpload, Expiration, Rule

    return Rule(
        ENABLED,
        rule_filter=Filter(prefix=prefix),
        rule_id=f"{OURS}{prefix.strip('/').replace('/', '-') or 'all'}",
        expiration=Expiration(days=days),
        abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(UNFINISHED_DAYS),
    )


def _content(rule: Any) -> tuple[str, int]:
    prefix = rule.rule_filter.prefix if rule.rule_filter else ""
    return prefix or "", rule.expiration.days if rule.expiration else 0


def main() -> None:
    """Parse the flags, make the buckets and say what changed."""
    parser = OneLineParser(prog="python -m components.shared.buckets", description="Make a bucket.")
    parser.add_argument("--bucket", action="append", required=True, metavar="NAME")
    parser.add_argument("--expire-days", type=int, default=0, help="0: never (default: 0)")
    parser.add_argument("--prefix", action="append", default=[], help="what expires; default: all")
    given = parser.parse_args()
    try:
        for bucket in given.bucket:
            changes = ensure_bucket(bucket, given.expire_days, given.prefix)
            print(*(changes or [f"bucket {bucket}: nothing changed"]), sep="\n")
    except StoreError as error:
        fail(error)


if __name__ == "__main__":
    main()
