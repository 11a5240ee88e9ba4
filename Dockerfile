# docker build -t sanet-retrieval .                          for a CPU
# docker build -t sanet-retrieval --build-arg EXTRA=gpu .    for an NVIDIA GPU
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
ARG EXTRA=cpu
WORKDIR /build
RUN python3 -m venv /opt/sanet
ENV PATH=/opt/sanet/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY locks/${EXTRA}.txt locks/
RUN python -m pip install --require-hashes --requirement locks/${EXTRA}.txt
COPY deploy/trim deploy/
RUN deploy/trim ${EXTRA} /opt/sanet
COPY pyproject.toml README.md ./
COPY model/ model/
COPY index/ index/
COPY service/ service/
COPY training/ training/
COPY benchmarks/ benchmarks/
RUN python -m pip install --no-deps --no-build-isolation .

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --create-home sanet && install -d -o sanet -g sanet /data
COPY --from=build /opt/sanet /opt/sanet
COPY demo/ /opt/sanet/demo/
COPY deploy/entrypoint /usr/local/bin/sanet
COPY deploy/enrol-demo /usr/local/bin/enrol-demo
ENV PATH=/opt/sanet/bin:$PATH PYTHONUNBUFFERED=1 SANET_DATA_DIR=/data SANET_CACHE_DIR=/data/converted SANET_HOST=0.0.0.0 SANET_PORT=8000
USER sanet
WORKDIR /home/sanet
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s \
  CMD ["python", "-m", "service.healthcheck"]
ENTRYPOINT ["sanet"]
CMD ["python", "-m", "service"]
