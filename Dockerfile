# docker build -t imaging-fhir .
# docker run -p 127.0.0.1:8080:8080 -v imaging-data:/data -e IMAGING_FHIR_ALLOW_OPEN=yes \
#   -e IMAGING_FHIR_PUBLIC_URL=http://localhost:8080 imaging-fhir

FROM python:3.11-slim-bookworm AS build
WORKDIR /source
RUN python -m venv /opt/imaging-fhir
ENV PATH=/opt/imaging-fhir/bin:$PATH
# The dependencies first: a change of the code alone does not install them again.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt \
 && pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt
COPY README.md LICENSE ./
COPY imaging_fhir imaging_fhir
RUN pip install --no-cache-dir --no-deps .

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin imaging \
 && install --directory --owner imaging --group imaging --mode 700 /data
COPY --from=build /opt/imaging-fhir /opt/imaging-fhir
# A container is reached from outside only on all of its addresses. The service refuses that
# without authentication and says so, until IMAGING_FHIR_ALLOW_OPEN=yes is given on purpose:
# then whoever reaches the published port may do everything. Publish it on loopback only.
ENV PATH=/opt/imaging-fhir/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    IMAGING_FHIR_DATA_DIR=/data \
    IMAGING_FHIR_HOST=0.0.0.0
USER 10001:10001
VOLUME /data
WORKDIR /data
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('IMAGING_FHIR_PORT', '8080') + '/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["imaging-fhir"]
CMD ["serve"]
