"""Canaries: each fails when another library changes what `sdnb.compat` leans on."""

from huggingface_hub import errors

from sdnb import compat


def test_the_hubs_errors_are_its_http_librarys():
    library = compat.http_library()
    assert issubclass(errors.HfHubHTTPError, library.HTTPError)
    assert issubclass(library.ConnectError, library.TransportError)
    assert issubclass(library.ReadTimeout, library.TransportError)
