"""``GET /docs``: the OpenAPI document as a page that tries calls out, with its own scripts: no CDN where drones fly."""

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
    return HTMLResponse(f"{before}{opening}{_DROP_EMPTY}{after}")
