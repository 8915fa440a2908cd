# modelport in one image: by itself it is the whole service on SQLite; docker-compose.yml runs its parts on servers.
# It has not been built yet; tests check what it copies, installs and starts.

FROM python:3.11.15-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY deploy/constraints.txt deploy/
COPY detectors detectors
COPY worker worker
RUN python -m venv /opt/modelport \
    && /opt/modelport/bin/pip install --no-cache-dir --constraint deploy/constraints.txt '.[postgresql,flower,otel,signing,yaml]'

FROM python:3.11.15-slim
COPY --from=build /opt/modelport /opt/modelport
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin modelport \
    && install --directory --owner=modelport --group=modelport --mode=700 /var/lib/modelport
ENV PATH=/opt/modelport/bin:$PATH PYTHONUNBUFFERED=1 MODELPORT_HOME=/var/lib/modelport
USER modelport
WORKDIR /var/lib/modelport
EXPOSE 8000
CMD ["modelport", "up", "--host", "0.0.0.0", "--port", "8000"]
