# Reads a problem from a folder, then fits it for every tolerance that comes on standard input and
# answers with the wall and CPU seconds of the fit; the coefficients go to a file of the folder.
suppressMessages({library(Matrix); library(glmnet)})
options(digits = 17)
arguments <- commandArgs(TRUE)
folder <- arguments[1]
n <- as.integer(arguments[2])
p <- as.integer(arguments[3])
outputs <- as.integer(arguments[4])
family <- arguments[5]
whole_path <- arguments[6] == "path"
doubles <- function(name) {
  file <- file.path(folder, name)
  readBin(file, "double", file.size(file) / 8)
}
integers <- function(name) {
  file <- file.path(folder, name)
  readBin(file, "integer", file.size(file) / 4)
}
if (file.exists(file.path(folder, "indptr"))) {
  x <- new("dgCMatrix", i = integers("indices"), p = integers("indptr"), x = doubles("x"),
           Dim = c(n, p))
} else {
  x <- doubles("x")
  dim(x) <- c(n, p)
}
y <- doubles("y")
if (outputs > 1) y <- matrix(y, n, outputs)
strengths <- doubles("strengths")
glmnet.control(fdev = 0, devmax = 1)  # all of the path, however well the data are fitted
cat("ready\n")
flush(stdout())
commands <- file("stdin", "r")
while (length(line <- readLines(commands, n = 1)) == 1) {
  begun <- proc.time()
  clock <- Sys.time()
  fit <- glmnet(x, y, family = family, lambda = strengths, intercept = FALSE,
                standardize = FALSE, thresh = as.numeric(line), maxit = 1e8)
  wall <- as.numeric(difftime(Sys.time(), clock, units = "secs"))
  took <- proc.time() - begun
  m <- length(fit$lambda)
  kept <- if (whole_path) seq_len(m) else m
  betas <- if (is.list(fit$beta)) fit$beta else list(fit$beta)
  writeBin(unlist(lapply(betas, function(b) as.vector(as.matrix(b[, kept])))),
           file.path(folder, "coefs"))
  cat(wall, took[["user.self"]] + took[["sys.self"]], m, "\n")
  flush(stdout())
}
