"""The connection to an S3 server, and what its errors mean in words.

In go an address and the name of a place; out comes boto3's client, or a `Trouble` whose sentence says what to do. Credentials
come from the standard chain (environment, profile, role) and from nowhere else. Which exception a trouble becomes is left to
who reads (`tree`) and who writes (`store`).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from detectors.tree import readable

if TYPE_CHECKING:
    from botocore.model import OperationModel
    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS, READ_SECONDS = 5.0, 20.0
"""How long one try may wait. A server that says nothing for all of them is left behind when the lease is over (`runner`)."""

MAX_EMPTY_PAGES, MAX_UPLOAD_PAGES = 1000, 1000
"""Pages of a listing that may be empty in a row, as where much was deleted; and pages of uploads, 1,000 on each."""

MAX_SHOWN_CHARACTERS = 80
"""How much of what a server says is told."""

MAX_ATTEMPTS = 4
"""Tries of one request, with growing pauses, of what the server calls passing: 5xx, throttling, lost connections."""

MAX_LINK_SECONDS = 7 * 86_400
"""How long a presigned link may be valid. Source: Amazon S3 User Guide, signature version 4."""

CONNECTIONS = 32
"""Connections that are kept: as many as ranges fetched ahead and uploads under way need at once."""


class Kind(Enum):
    """What a trouble means for whoever met it."""

    GONE = auto()
    """There is no such object."""
    CHANGED = auto()
    """The object is not the one that was asked for."""
    NO_BUCKET = auto()
    """There is no such bucket."""
    REFUSED = auto()
    """The server does not let us, and will not the next time either."""
    UNSUPPORTED = auto()
    """The server does not know this kind of request."""
    AWAY = auto()
    """The server did not answer, or is too busy; it may do so later."""
    NOT_SET_UP = auto()
    """The server does not let us as this machine is set up: keys, clock, region. Somebody may put that right."""


class Trouble(Exception):
    """An error of the server or of the way to it. The message is a sentence for an operator."""

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason

    @property
    def may_pass(self) -> bool:
        """Whether the same request may be answered later."""
        return self.kind in (Kind.AWAY, Kind.NOT_SET_UP)


OTHER_REGION = Kind.NOT_SET_UP, "the bucket lies in another region{region}; set MODELPORT_S3_REGION"

CODES: Mapping[str, tuple[Kind, str]] = {
    "NoSuchKey": (Kind.GONE, "there is no such object"),
    "NoSuchUpload": (Kind.GONE, "the upload was ended by somebody else"),
    "404": (Kind.GONE, "there is no such object"),
    "PreconditionFailed": (Kind.CHANGED, "it is not the object that was listed"),
    "ConditionalRequestConflict": (Kind.CHANGED, "somebody else writes it at the same time"),
    "412": (Kind.CHANGED, "it is not the object that was listed"),
    "InvalidRange": (Kind.CHANGED, "it is shorter than it was listed"),
    "416": (Kind.CHANGED, "it is shorter than it was listed"),
    "NoSuchBucket": (Kind.NO_BUCKET, "there is no such bucket; check its name, MODELPORT_S3_ENDPOINT_URL and the region"),
    "AccessDenied": (Kind.REFUSED, "access is denied; let these credentials list the bucket and read its objects"),
    "403": (Kind.REFUSED, "access is denied; let these credentials list the bucket and read its objects"),
    "AllAccessDisabled": (Kind.REFUSED, "all access to the bucket is disabled"),
    "InvalidAccessKeyId": (Kind.NOT_SET_UP, "the server does not know the access key; check AWS_ACCESS_KEY_ID or the profile"),
    "SignatureDoesNotMatch": (Kind.NOT_SET_UP, "the secret key does not belong to the access key; check the credentials"),
    "ExpiredToken": (Kind.NOT_SET_UP, "the session of the credentials has expired; renew it"),
    "InvalidToken": (Kind.NOT_SET_UP, "the session token of the credentials is not valid; renew it"),
    "RequestTimeTooSkewed": (Kind.NOT_SET_UP, "the clocks of this machine and of the server differ by minutes; set this one"),
    "InvalidObjectState": (Kind.REFUSED, "the object is archived; restore it first"),
    "PermanentRedirect": OTHER_REGION,
    "AuthorizationHeaderMalformed": OTHER_REGION,
    "IllegalLocationConstraintException": (
        Kind.NOT_SET_UP,
        "the bucket lies in another region{region}; set MODELPORT_S3_REGION",
    ),
    "301": OTHER_REGION,
    "QuotaExceeded": (Kind.AWAY, "the quota of the bucket or of its owner is used up"),
    "SlowDown": (Kind.AWAY, "the server asks for fewer requests (SlowDown)"),
    "Throttling": (Kind.AWAY, "the server asks for fewer requests (Throttling)"),
    "RequestTimeout": (Kind.AWAY, "the request was too slow for the server"),
    "NotImplemented": (Kind.UNSUPPORTED, "the server does not support this kind of request"),
    "501": (Kind.UNSUPPORTED, "the server does not support this kind of request"),
}
"""What the error codes mean. Source: Amazon S3 API reference, error responses; a HEAD has only the status."""

EXCEPTIONS: Mapping[str, tuple[Kind, str]] = {
    "NoCredentialsError": (
        Kind.NOT_SET_UP,
        "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile",
    ),
    "PartialCredentialsError": (Kind.NOT_SET_UP, "the credentials are not complete; set key and secret both"),
    "ProfileNotFound": (Kind.NOT_SET_UP, "the profile of AWS_PROFILE is not in the AWS configuration"),
    "InvalidRegionError": (Kind.NOT_SET_UP, "the region is not one; check MODELPORT_S3_REGION"),
    "EndpointResolutionError": (Kind.NOT_SET_UP, "the address or the region cannot be used; check MODELPORT_S3_ENDPOINT_URL"),
    "EndpointConnectionError": (Kind.AWAY, "no server answers at {address}; check MODELPORT_S3_ENDPOINT_URL"),
    "ConnectTimeoutError": (Kind.AWAY, "no server answered in time at {address}"),
    "ReadTimeoutError": (Kind.AWAY, "the server did not go on in time"),
    "SSLError": (Kind.AWAY, "the certificate of the server was not accepted"),
}
"""What boto3's own errors mean, by their names: it is not imported before it is needed."""

NOT_IN_XML = re.compile(rb"&#x0*(?:[0-8BCEFbcef]|1[0-9A-Fa-f]);|[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""Control characters as servers write them, plain or as references. Source: XML 1.0, 2.2 "Characters"."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()

WANTED: Mapping[str, tuple[Any, ...]] = {
    "ListObjectsV2": (("Name",), ("Contents", ("Key", "Size", "ETag", "LastModified"))),
    "ListMultipartUploads": (("Bucket",), ("Uploads", ("Key", "UploadId", "Initiated"))),
    "ListParts": (("Bucket",), ("Parts", ("LastModified",))),
    "GetObject": (("ETag", "ContentLength"),),
    "PutObject": (("ETag",),),
    "CreateMultipartUpload": (("UploadId",),),
    "UploadPart": (("ETag",),),
}
"""What the answer to a call must hold, and what each of several things in it must hold. Source: Amazon S3 API reference."""

FOLLOWED_BY: Mapping[str, str] = {
    "ListObjectsV2": "NextContinuationToken",
    "ListMultipartUploads": "NextKeyMarker",
    "ListParts": "NextPartNumberMarker",
}
"""What an answer must hold besides where it is not all; boto3 takes one without for all."""


class S3Connection:
    """Gives boto3's client, which is made when it is first needed: importing boto3 takes a third of a second."""

    def __init__(
        self,
        endpoint_url: str | None = None,
        region: str | None = None,
        seconds: float | None = None,
        attempts: int = MAX_ATTEMPTS,
    ) -> None:
        """Each of the *attempts* at a request may wait so many *seconds*; as the constants say where it is None."""
        self._endpoint_url = endpoint_url
        self._region = region
        self._connect_seconds, self._read_seconds = (CONNECT_SECONDS, READ_SECONDS) if seconds is None else (seconds, seconds)
        self._attempts = attempts
        self._lock = threading.Lock()
        self._client: S3Client | None = None

    @property
    def client(self) -> S3Client:
        """Return the client; threads may share it.

        Raises:
            Trouble: the credentials or the address cannot be used.
        """
        with self._lock:
            if self._client is None:
                with in_words("object storage"):
                    try:
                        self._client = self._made()
                    except ValueError as exc:  # botocore says so of an address that it cannot use
                        raise Trouble(Kind.REFUSED, f"MODELPORT_S3_ENDPOINT_URL: {exc}") from exc
            return self._client

    def _made(self) -> S3Client:
        import boto3
        from botocore.config import Config

        config = Config(
            connect_timeout=self._connect_seconds,
            read_timeout=self._read_seconds,
            retries={"mode": "standard", "total_max_attempts": self._attempts},
            max_pool_connections=CONNECTIONS,
            request_checksum_calculation="when_required",  # ETags tell what arrived; no server refused a wrong checksum
            response_checksum_validation="when_required",
            signature_version="s3v4",
            s3={
                "addressing_style": "path" if self._endpoint_url else "auto",
                "payload_signing_enabled": False,  # a pass of SHA-256; the ETags tell as much, and what is read is not signed
            },
        )
        session = boto3.session.Session()
        region = self._region or session.region_name or "us-east-1"
        client = session.client("s3", endpoint_url=self._endpoint_url, region_name=region, config=config)
        client.meta.events.register("after-call.s3", _check_answer)
        client.meta.events.register("before-parse.s3.ListMultipartUploads", _make_readable)
        return client


def _make_readable(response_dict: dict[str, Any], **_: object) -> None:
    """Replace what XML does not hold in a listing of uploads: one in the key of one of them would hide all the others.

    boto3 has called the answer an error by then, because it cannot read it; if it was one, it lacks what a listing holds.
    """
    readable_body = NOT_IN_XML.sub(REPLACEMENT, response_dict["body"])
    if readable_body != response_dict["body"]:
        response_dict |= {"body": readable_body, "status_code": 200}


def _check_answer(parsed: Mapping[str, Any], model: OperationModel, **_: object) -> None:
    """Raise where an answer lacks what it must hold: boto3 takes a page for people, with status 200, for an empty listing.

    Raises:
        Trouble: it does.
    """
    if "Error" in parsed:
        return
    wanted, *inner = WANTED.get(model.name, ((),))
    lacking = [name for name in wanted if name not in parsed]
    for many, names in inner:
        lacking += [f"{many}/{name}" for one in parsed.get(many, ()) for name in names if name not in one]
    if parsed.get("IsTruncated") and model.name in FOLLOWED_BY and not parsed.get(FOLLOWED_BY[model.name]):
        lacking.append(FOLLOWED_BY[model.name])
    lacking += ["a size" for one in parsed.get("Contents", ()) if one.get("Size", 0) < 0]
    if lacking:
        advice = "is there an S3 server at its address? Check MODELPORT_S3_ENDPOINT_URL"
        raise Trouble(Kind.AWAY, f"object storage: the answer to {model.name} lacks {lacking[0]}; {advice}")


@contextmanager
def in_words(place: str) -> Iterator[None]:
    """Turn an error of boto3 about *place* into a `Trouble`."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClientError as exc:
        raise _of_server(place, exc.response) from exc
    except (BotoCoreError, HTTPError) as exc:
        kind, reason = EXCEPTIONS.get(type(exc).__name__, (Kind.AWAY, f"no answer that can be used ({type(exc).__name__})"))
        address = urlsplit(str(getattr(exc, "kwargs", {}).get("endpoint_url", ""))).netloc
        raise Trouble(kind, f"{place}: {reason.replace('{address}', address or 'its address')}") from exc
    except ValueError as exc:  # boto3 reads numbers and dates of the answer without looking
        raise Trouble(Kind.AWAY, f"{place}: no answer that can be used ({shown(str(exc))})") from exc


def _of_server(place: str, response: Mapping[str, Any]) -> Trouble:
    """Return what an error response means. The status decides where the code is not known."""
    error = response.get("Error", {})
    code, answer = shown(str(error.get("Code", ""))), response.get("ResponseMetadata", {})
    status = int(answer.get("HTTPStatusCode", 0))
    kind, reason = CODES.get(code) or CODES.get(str(status)) or (_by_status(status), f"the server says {code or status}")
    region = error.get("Region") or answer.get("HTTPHeaders", {}).get("x-amz-bucket-region")
    return Trouble(kind, f"{place}: {reason.replace('{region}', f', {region}' if region else '')}")


def _by_status(status: int) -> Kind:
    return Kind.REFUSED if 400 <= status < 500 and status != 429 else Kind.AWAY


def shown(text: str) -> str:
    """Return text of a server as it may stand in a sentence."""
    return readable(text[:MAX_SHOWN_CHARACTERS])


def exists(client: S3Client, bucket: str, key: str) -> bool:
    """Tell whether there is an object *key*. Asks for a listing: to a HEAD, a server does not say why it refuses.

    Raises:
        Trouble: the server does not say.
    """
    with in_words(f"s3://{bucket}/{readable(key)}"):
        found = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", ())
    return any(one["Key"] == key for one in found)


def link_to(client: S3Client, call: str, bucket: str, key: str, seconds: int) -> str:
    """Return a link with which anybody may make the call `get_object` or `put_object` of *key* for *seconds*.

    Nothing is asked of the server. Where the credentials themselves last for less, so does the link.

    Raises:
        ValueError: the time is longer than `MAX_LINK_SECONDS`.
        Trouble: there are no credentials.
    """
    if not 0 < seconds <= MAX_LINK_SECONDS:
        raise ValueError(f"seconds: expected 1 to {MAX_LINK_SECONDS}, found {seconds}")
    with in_words(f"s3://{bucket}/{readable(key)}"):
        return client.generate_presigned_url(call, Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds)


def pages_below(client: S3Client, bucket: str, prefix: str) -> Iterator[Mapping[str, Any]]:
    """Yield the pages of the listing of *prefix*.

    Raises:
        Trouble: the listing does not get on.
    """
    empty = 0
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        empty = 0 if page.get("Contents") else empty + 1
        if empty > MAX_EMPTY_PAGES:
            raise Trouble(Kind.AWAY, f"s3://{bucket}/{readable(prefix)}: {empty} pages of the listing in a row were empty")
        yield page


def uploads_below(client: S3Client, bucket: str, prefix: str) -> Iterator[Mapping[str, Any]]:
    """Yield the uploads in parts that are under way below *prefix*.

    Raises:
        Trouble: there are too many.
    """
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
    for number, page in enumerate(pages):
        if number == MAX_UPLOAD_PAGES:
            raise Trouble(Kind.AWAY, f"s3://{bucket}/{readable(prefix)}: more uploads are under way than can be listed")
        yield from (upload for upload in page.get("Uploads", ()) if upload["Key"].startswith(prefix))
