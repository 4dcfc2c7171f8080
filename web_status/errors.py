"""One envelope for every error of the HTTP interface; never exception text (`routes.md` 1)."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from loguru import logger
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse


class ApiFault(Exception):
    """Raised by a route to answer with an error; the text is for people."""

    def __init__(
        self,
        http_status: int,
        code: str,
        message: str,
        details: list[Any] | None = None,
        *,
        retry_after_s: int = 1,
    ):
        super().__init__(message)
        self.http_status, self.code, self.message = http_status, code, message
        self.details, self.retry_after_s = details, retry_after_s


def envelope(fault: ApiFault) -> JSONResponse:
    """The JSON body of an error."""
    body: dict[str, Any] = {"status": "error", "code": fault.code, "message": fault.message}
    if fault.details:
        body["details"] = fault.details
    headers = {"Retry-After": str(fault.retry_after_s)} if fault.http_status == 429 else None
    return JSONResponse(body, fault.http_status, headers)


def install(app: FastAPI) -> None:
    """All errors of the app in our envelope."""

    @app.exception_handler(ApiFault)
    async def _ours(_request: Request, fault: ApiFault) -> JSONResponse:
        return envelope(fault)

    @app.exception_handler(RequestValidationError)
    async def _bad_input(_request: Request, fault: RequestValidationError) -> JSONResponse:
        details = [
            {
                "field": ".".join(str(part) for part in row["loc"][1:]) or "body",
                "message": row["msg"],
            }
            for row in fault.errors()
        ]
        text = "; ".join(f"{row['field']}: {row['message']}" for row in details)
        return envelope(ApiFault(400, "INVALID_INPUT", text, details))

    @app.exception_handler(HTTPException)
    async def _framework(_request: Request, fault: HTTPException) -> JSONResponse:
        code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(fault.status_code, "ERROR")
        answer = envelope(ApiFault(fault.status_code, code, str(fault.detail)))
        answer.headers.update(fault.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def _surprise(request: Request, fault: Exception) -> JSONResponse:
        logger.opt(exception=fault).error("route {} failed", request.url.path)
        return envelope(ApiFault(500, "INTERNAL", "An unexpected error occurred; see the log"))
