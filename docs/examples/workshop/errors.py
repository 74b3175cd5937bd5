"""Which status an error of the data layer becomes."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

import tierfold

STATUS_OF: dict[type[tierfold.TierfoldError], int] = {
    tierfold.ValidationError: 422,
    tierfold.QueryError: 422,
    tierfold.NotFoundError: 404,
    tierfold.AlreadyExistsError: 409,
    tierfold.StaleWriteError: 409,
    tierfold.PayloadTooLargeError: 413,
    tierfold.StoreFullError: 507,
}


class StatusOfErrors:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """None leaves it to Django, which logs it and answers with 500."""
        if not isinstance(error, tierfold.TierfoldError):
            return None
        status = 503 if error.transient else STATUS_OF.get(type(error))
        return None if status is None else HttpResponse(str(error), status=status, content_type="text/plain")
