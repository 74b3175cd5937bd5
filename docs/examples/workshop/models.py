import tierfold


class Tool(tierfold.Entity, partition="{shop}", id="{code}", index=["name"]):
    shop: str
    code: str
    name: str
    lent_to: str | None = None
