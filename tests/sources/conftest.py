"""What tests of several readers share."""

import pytest

from sftdata.sources import native


@pytest.fixture(scope="module", params=["compiled", "python"])
def scanner(request):
    """Read with compiled code, and then again without any."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "python":
            patch.setattr(native, "scan", None)
        else:
            assert native.scan is not None, "the scanner is not compiled: python hatch_build.py"
        yield request.param
