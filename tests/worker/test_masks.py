"""What is no secret stays as it is; what is one is masked in each line of the log (`test_logs`) and in what errors say."""

from __future__ import annotations

import pytest

from worker.masks import masked


@pytest.mark.parametrize("said", ["s3://bucket/a@b", "http://host/x?mail=a@b", "token 3 of 4", "digest=ab12", "e7@1"])
def test_what_is_no_secret_is_not_masked(said: str) -> None:
    assert masked(said) == said
