# Berth's image in two stages: Python packages are gathered and pruned in one, nothing but the result is in the other.
#   docker build --tag berth:0.1.0 .
# Both bases must have the same Python, 3.11. `make image` assembles the same image where no registry is.
ARG BUILDER=python:3.11-slim-bookworm
ARG BASE=gcr.io/distroless/python3-debian12:nonroot

FROM ${BUILDER} AS build
# Where pip looks, for builds without PyPI: PIP_NO_INDEX=1 PIP_FIND_LINKS=/src/wheels, with wheels in build/wheels.
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
COPY LICENSE build/wheels/*.whl /src/wheels/
COPY LICENSE pyproject.toml /src/
COPY operator /src/operator
COPY e2e/images/tree.py /src/
RUN ["python3", "/src/tree.py", "/src", "/opt/berth"]

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="berth" \
      org.opencontainers.image.description="Berths training gangs on mixed accelerators" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/berth /opt/berth
ENV PYTHONPATH=/opt/berth PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/bin/python3", "-m", "berth"]
