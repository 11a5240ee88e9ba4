"""``GET /docs``: the OpenAPI document as a page that tries calls out, with its own scripts: no CDN where drones fly."""

import base64
import hashlib
import re

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse

router = APIRouter()

# The page sends each field of a form that one leaves empty, as an empty field, which the service refuses.
_DROP_EMPTY = """
    requestInterceptor: (request) => {
        if (request.body instanceof FormData) {
            const filled = new FormData();
            for (const [name, value] of request.body.entries()) if (value !== "") filled.append(name, value);
            request.body = filled;
        }
        return request;
    },"""


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """The page."""
    root = request.scope.get("root_path", "")
    static = f"{root}/static-offline-docs"
    page = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title=f"{request.app.title}: API",
        swagger_js_url=f"{static}/swagger-ui-bundle.js",
        swagger_css_url=f"{static}/swagger-ui.css",
        swagger_favicon_url=f"{static}/favicon.png",
        swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": 0},
    )
    opening = "SwaggerUIBundle({"
    before, _, after = bytes(page.body).decode().partition(opening)
    html = f"{before}{opening}{_DROP_EMPTY}{after}"
    return HTMLResponse(html, headers={"Content-Security-Policy": _policy(html)})


def _policy(html: str) -> str:
    """Its own files, its own one script, and requests to this service; its styles are made by scripts while it runs."""
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    script_src = " ".join(["'self'", *(f"'sha256-{hash_}'" for hash_ in hashes)])
    return (
        f"default-src 'none'; script-src {script_src}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
