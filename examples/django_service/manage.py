"""A library on Django: sync and async views, Django's own users.

cd examples/django_service
export LIBRARY_SECRET_KEY=a-long-random-text TELEMETRY_DATABASE_URL=sqlite:///library-telemetry.db
telemetry db upgrade
python manage.py migrate
python manage.py createsuperuser
gunicorn library.wsgi            # or: uvicorn library.asgi:application, or: python manage.py runserver
"""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "library.settings")
    execute_from_command_line(sys.argv)
