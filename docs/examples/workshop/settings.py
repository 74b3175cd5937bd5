import os

SECRET_KEY = "only for this example"  # noqa: S105 - there is nothing to protect
ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
ROOT_URLCONF = "workshop.urls"
MIDDLEWARE = ["workshop.errors.StatusOfErrors"]
USE_TZ = True

TIERS = os.environ.get("WORKSHOP_TIERS", "lmdb:./workshop").split()
