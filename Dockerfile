# docker build -t imaging-fhir .
# docker run -p 127.0.0.1:8080:8080 -v imaging-data:/data -e IMAGING_FHIR_ALLOW_OPEN=yes \
#   -e IMAGING_FHIR_PUBLIC_URL=http://localhost:8080 imaging-fhir

FROM node:20-bookworm-slim AS viewer
WORKDIR /viewer
# The built site of the OHIF viewer, without its service worker and the models of its AI tools; the
# texts once more as gzip, as most browsers take them.
RUN npm pack --silent @ohif/app@3.13.2 \
 && tar --extract --gzip --file ohif-app-*.tgz --strip-components 2 \
      --exclude 'package/dist/ort' --exclude 'package/dist/sw.js' --exclude '*.map' package/dist \
 && rm ohif-app-*.tgz \
 && find . -type f -regex '.*\.\(js\|mjs\|css\|json\|svg\|wasm\)' -exec gzip --keep --no-name {} +

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
COPY --from=viewer /viewer /opt/viewer
# A container is reached from outside only on all of its addresses. The service refuses that
# without authentication and says so, until IMAGING_FHIR_ALLOW_OPEN=yes is given on purpose:
# then whoever reaches the published port may do everything. Publish it on loopback only.
ENV PATH=/opt/imaging-fhir/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    IMAGING_FHIR_DATA_DIR=/data \
    IMAGING_FHIR_VIEWER_DIR=/opt/viewer \
    IMAGING_FHIR_HOST=0.0.0.0
USER 10001:10001
VOLUME /data
WORKDIR /data
EXPOSE 8080 11112
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('IMAGING_FHIR_PORT', '8080') + '/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["imaging-fhir"]
CMD ["serve"]
