from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_GET, require_POST

from tierfold import F
from workshop.layer import layer
from workshop.models import Tool


class AlreadyLentError(Exception):
    """Somebody was faster."""


@require_GET
def tools(request: HttpRequest, shop: str) -> JsonResponse:
    repo = layer().repo(Tool)
    page = repo.query(partitions=[shop], sort=["name"]).page(after=request.GET.get("after"), size=50)
    return JsonResponse({"tools": [repo.dump(tool) for tool in page], "next": page.next})


@require_POST
def add(request: HttpRequest, shop: str) -> JsonResponse:
    repo = layer().repo(Tool)
    tool = repo.create(Tool(shop=shop, code=request.POST["code"], name=request.POST["name"]))
    return JsonResponse(repo.dump(tool), status=201)


@require_POST
def lend(request: HttpRequest, id: str) -> HttpResponse:
    borrower = request.POST["to"]

    def note(tool: Tool) -> None:
        if tool.lent_to is not None:
            raise AlreadyLentError
        tool.lent_to = borrower

    try:
        layer().repo(Tool).modify(id, note)
    except AlreadyLentError:
        return HttpResponse("somebody has it", status=409)
    return HttpResponse(status=204)


@require_POST
def hand_over(request: HttpRequest, shop: str) -> HttpResponse:
    """Everything that one borrower of a shop has goes to another: all of it, or nothing."""
    data = layer()
    repo = data.repo(Tool)
    giver, taker = request.POST["from"], request.POST["to"]
    with data.transaction():
        for tool in repo.query(F.lent_to == giver, partitions=[shop]).all():
            repo.modify(tool.id, lambda tool: setattr(tool, "lent_to", taker))
    return HttpResponse(status=204)
