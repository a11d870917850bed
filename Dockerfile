# The page and the service in a container; docs/serve.md, "In a container", says how to build and run it.
FROM python:3.12-slim
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY src src
RUN pip install --no-cache-dir --constraint constraints.txt ".[serve]" && rm -rf /build/* \
    && useradd --create-home --home-dir /data lipsmith
WORKDIR /data
USER lipsmith
ENV LIPSMITH_HOME=/data
VOLUME /data
EXPOSE 7860
HEALTHCHECK CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:7860/healthz')"]
ENTRYPOINT ["lipsmith"]
CMD ["serve", "--host", "0.0.0.0"]
